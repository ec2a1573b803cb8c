use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

/// Tells the tasks of a node to stop, in the order in which they began to wait: a `watch` channel wakes its receivers in
/// random order, and no run could be repeated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    told: AtomicBool,
    waiting: Notify,
}

impl Stop {
    pub(crate) fn tell(&self) {
        self.0.told.store(true, Ordering::SeqCst);
        self.0.waiting.notify_waiters();
    }

    pub(crate) fn is_told(&self) -> bool {
        self.0.told.load(Ordering::SeqCst)
    }

    /// Completes once the tasks are to stop.
    pub(crate) async fn told(&self) {
        // From here on it cannot be missed.
        let told = self.0.waiting.notified();
        if !self.is_told() {
            told.await;
        }
    }
}
