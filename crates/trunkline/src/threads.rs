use std::{num::NonZero, thread};

use engine::{Spawn, Task};
use tokio::{runtime::Builder, task::JoinHandle};

/// Runs tasks on the runtime. Tasks that every message passes through get a thread each: between requests, a commit took twice
/// as long as its statements (docs/performance.md).
#[derive(Debug)]
pub(crate) struct Threads;

impl Threads {
    /// Threads for requests and calls to providers: all cores but one, which is left to the tasks with threads of their own and,
    /// on a small machine, to the database.
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
        let runtime = runtime.expect("the process can open an epoll descriptor at its start");
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || runtime.block_on(task))
            .expect("the process can start a thread at its start");
    }
}
