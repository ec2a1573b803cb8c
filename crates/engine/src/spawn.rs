use std::{fmt::Debug, future::Future, pin::Pin};

use tokio::task::JoinHandle;

/// One task of a node, from its start to its end.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs the tasks of a node. Every task is started through it, so an implementation can stop or delay a whole node: the simulation
/// crashes and freezes nodes.
pub trait Spawn: Debug + Send + Sync {
    fn spawn(&self, task: Task) -> JoinHandle<()>;

    /// Starts one of the few tasks that every message passes through. It may get a thread of its own, so that it does not wait
    /// behind requests at each of its steps.
    fn spawn_apart(&self, name: &'static str, task: Task) {
        let _ = name;
        self.spawn(task);
    }
}

/// Runs tasks on the caller's Tokio runtime.
#[derive(Debug, Clone, Copy)]
pub struct TokioTasks;

impl Spawn for TokioTasks {
    fn spawn(&self, task: Task) -> JoinHandle<()> {
        tokio::spawn(task)
    }
}
