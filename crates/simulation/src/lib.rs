//! The whole system under a seed: the real engine on one to three nodes over the reference model of the store, with failing
//! providers, clients and networks, in one process, on one thread and a driven clock. See `docs/simulation.md`.
//!
//! A run follows a [`Plan`], drawn from its seed, and ends in a [`Report`]. First faults happen, and no promise may be broken;
//! then faults stop, and every promise must be kept. The same seed always gives the same trace.

mod campaign;
mod checkers;
mod draw;
mod goodput;
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
pub use hunt::{SEEDS_MAX, hunt};
pub use named_seeds::{NAMED_SEEDS, NamedSeed};
pub use plan::{
    Fault, FaultKind, Health, Knowledge, Lifecycle, MessageProfile, Operation, OperationKind, Plan,
    ReceivePlan, ReceiverKind, SendPlan, Settings, Statement, StoreFailure,
};
pub use shrink::shrink;
pub use world::{Report, run};
