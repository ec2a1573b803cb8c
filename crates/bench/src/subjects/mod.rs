//! What is measured: the real program and the baseline, each a process with a database of its own.

mod audit;
mod baseline;
mod database;
mod process;
mod sink;
mod trunkline;

pub(crate) use audit::{Contents, backlog, drain};
pub(crate) use baseline::{best_pool, serve as serve_baseline, start as start_baseline};
pub(crate) use database::{Databases, Kind, Store, connect};
pub(crate) use process::{Cpu, Server, memory_mib};
pub(crate) use sink::Sink;
pub(crate) use trunkline::Trunkline;
