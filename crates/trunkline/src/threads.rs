use std::{num::NonZero, thread};

use engine::{Spawn, Task};
use tokio::{runtime::Builder, task::JoinHandle};

/// Runs the tasks of the service: on the threads of the runtime, and those that every message passes through each on a
/// thread of its own. Among the requests, a commit waits at each of its steps behind all those that the last commit has
/// answered, and took twice as long as its statements (docs/performance.md).
#[derive(Debug)]
pub(crate) struct Threads;

impl Threads {
    /// How many threads answer requests and call providers: one for each core but one, which is for what runs apart, and on
    /// a small machine for the database.
    pub(crate) fn of_requests() -> usize {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        cores.saturating_sub(1).max(1)
    }
}

impl Spawn for Threads {
    fn spawn(&self, task: Task) -> JoinHandle<()> {
        tokio::spawn(task)
    }

    fn spawn_apart(&self, name: &'static str, task: Task) {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a process that has just started may open a few more files");
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || runtime.block_on(task))
            .expect("a process that has just started may have a few more threads");
    }
}
