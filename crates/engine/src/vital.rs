use std::{future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use tokio::{sync::watch, task::JoinHandle};

/// Runs tasks without which a node only seems alive: when one of them panics, [`Vital::failed`] completes, and the process
/// should end and be started again. Nothing acknowledged is lost by that.
#[derive(Clone, Debug)]
pub(crate) struct Vital(watch::Sender<bool>);

impl Vital {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(crate) fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let failed = self.0.clone();
        tokio::spawn(async move {
            // Nobody looks at what the panic left behind: the process ends.
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(name, "a task panicked that the node cannot do without");
                failed.send_replace(true);
            }
        })
    }

    /// Completes when one of the tasks has panicked.
    pub(crate) async fn failed(&self) {
        let mut failed = self.0.subscribe();
        // We hold a sender, so the channel cannot close.
        let _ = failed.wait_for(|failed| *failed).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_noticed_and_an_end_is_not() {
        let vital = Vital::new();
        vital.spawn("ends", async {}).await.unwrap();
        assert!(vital.failed().now_or_never().is_none());
        vital.spawn("panics", async { panic!("told to") }).await.unwrap();
        vital.failed().await;
    }
}
