use std::{fmt::Debug, future::Future, pin::Pin};

use tokio::task::JoinHandle;

/// One task of a node, from its start to its end.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Who runs the tasks of a node. All of them are started through it, so that whoever implements it can stop or delay a
/// whole node: the simulation crashes nodes in the middle of anything, and freezes them.
pub trait Spawn: Debug + Send + Sync {
    /// Starts a task.
    fn spawn(&self, task: Task) -> JoinHandle<()>;

    /// Starts one of the few tasks that every message passes through. Where there are threads it may have one to itself, so
    /// that it does not wait its turn behind a hundred requests at each of its steps.
    fn spawn_apart(&self, name: &'static str, task: Task) {
        let _ = name;
        self.spawn(task);
    }
}

/// The runtime that the caller runs on.
#[derive(Debug, Clone, Copy)]
pub struct TokioTasks;

impl Spawn for TokioTasks {
    fn spawn(&self, task: Task) -> JoinHandle<()> {
        tokio::spawn(task)
    }
}
