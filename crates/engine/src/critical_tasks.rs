use std::{future::Future, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use tokio::{sync::watch, task::JoinHandle};

use crate::{Spawn, Task};

/// Runs tasks without which a node only seems alive: when one of them panics, [`CriticalTasks::failed`] completes, and the process
/// should end and be started again. Nothing acknowledged is lost by that.
#[derive(Clone, Debug)]
pub(crate) struct CriticalTasks {
    failed: watch::Sender<bool>,
    tasks: Arc<dyn Spawn>,
}

impl CriticalTasks {
    pub(crate) fn new(tasks: Arc<dyn Spawn>) -> Self {
        let failed = watch::Sender::new(false);
        Self { failed, tasks }
    }

    pub(crate) fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        self.tasks.spawn(self.watched(name, task))
    }

    /// The same for a task that every message passes through.
    pub(crate) fn spawn_apart(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_apart(name, self.watched(name, task));
    }

    fn watched(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> Task {
        let failed = self.failed.clone();
        Box::pin(async move {
            // Nobody looks at what the panic left behind: the process ends.
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(
                    name,
                    "an essential task panicked: the process exits and must be started again"
                );
                failed.send_replace(true);
            }
        })
    }

    /// Completes when one of the tasks has panicked.
    pub(crate) async fn failed(&self) {
        let mut failed = self.failed.subscribe();
        // We hold a sender, so the channel cannot close.
        let _ = failed.wait_for(|failed| *failed).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_noticed_and_an_end_is_not() {
        let critical_tasks = CriticalTasks::new(Arc::new(crate::TokioTasks));
        critical_tasks.spawn("ends", async {}).await.unwrap();
        assert!(critical_tasks.failed().now_or_never().is_none());
        critical_tasks
            .spawn("panics", async { panic!("told to") })
            .await
            .unwrap();
        critical_tasks.failed().await;
    }
}
