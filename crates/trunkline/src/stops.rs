use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask us to stop.
pub(crate) struct Stops {
    interrupt: Signal,
    terminate: Signal,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A person at a terminal.
    Interrupt,
    /// An orchestrator, perhaps with a balancer in front.
    Terminate,
}

impl Stops {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    pub(crate) async fn next(&mut self) -> Stop {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => Stop::Interrupt,
            _ = self.terminate.recv() => Stop::Terminate,
        }
    }
}
