//! The whole system under a seed: the real engine on one to three nodes, over the in-memory store, with providers, clients
//! and a network that misbehave; one process, one thread, driven time. See `docs/simulation.md`.
//!
//! A run is a [`Plan`], which its seed decides to the last detail, and its [`Report`]. First everything goes wrong, and
//! nothing that was promised may be broken; then nothing goes wrong any more, and everything that was promised must come
//! true. The same seed always gives the same trace.

mod campaign;
mod checkers;
mod draw;
mod goodput;
#[cfg(feature = "planted")]
mod hunt;
mod named_seeds;
mod plan;
mod shrink;
mod trace;
mod workload;
mod world;

pub use campaign::{Outcome, campaign, explain, run_seed};
pub use checkers::Violation;
pub use goodput::{Crowd, Goodput, goodput};
#[cfg(feature = "planted")]
pub use hunt::{SEEDS_MAX, hunt};
pub use named_seeds::{NAMED_SEEDS, NamedSeed};
pub use plan::{
    Fault, FaultKind, Health, Knowledge, MessageProfile, Operation, OperationKind, Plan, ReceivePlan,
    SendPlan, Settings, Statement, StoreFailure,
};
pub use shrink::shrink;
pub use world::{Report, run};
