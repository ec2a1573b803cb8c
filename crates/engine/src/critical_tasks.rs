use std::{future::Future, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use tokio::{sync::watch, task::JoinHandle};

use crate::{Spawn, Task};

/// Runs tasks that a node cannot run without. When one panics, [`CriticalTasks::failed`] completes; the process should then end and
/// be restarted. No acknowledged message is lost by that.
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

    /// Like [`CriticalTasks::spawn`], through [`Spawn::spawn_apart`].
    pub(crate) fn spawn_apart(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_apart(name, self.watched(name, task));
    }

    fn watched(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> Task {
        let failed = self.failed.clone();
        Box::pin(async move {
            // No state that the panic left behind is used: the process ends.
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
        // This task holds a sender, so the channel cannot close.
        let _ = failed.wait_for(|failed| *failed).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_completes_failed_and_a_normal_end_does_not() {
        let critical_tasks = CriticalTasks::new(Arc::new(crate::TokioTasks));
        critical_tasks.spawn("ends", async {}).await.unwrap();
        assert!(critical_tasks.failed().now_or_never().is_none());
        critical_tasks
            .spawn("panics", async { panic!("planted") })
            .await
            .unwrap();
        critical_tasks.failed().await;
    }
}
