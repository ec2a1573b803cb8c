use std::sync::Arc;

use domain::{FollowUp, LeaseToken, MessageId, ProviderName};
use store::{AttemptRecord, Disposition, Leased, Progress, Settlement};
use tokio::sync::{mpsc, oneshot};

use super::{
    recorder::{Item, Recorder, RecorderState, WAITING_MAX},
    work::Work,
};
use crate::{Node, metrics::ProviderMetrics};

/// Hands the results of a lane's calls to its recorder. A result is kept until it is recorded or its lease is lost.
pub(super) struct Settler {
    queue: mpsc::Sender<Item>,
    state: Arc<RecorderState>,
}

/// The settler of a provider's lane and its recorder, which ends with the settler.
pub(super) fn new(
    node: &Arc<Node>,
    provider: ProviderName,
    metrics: Arc<ProviderMetrics>,
    batch_max: usize,
) -> (Settler, Recorder) {
    let (queue, waiting) = mpsc::channel(WAITING_MAX);
    let state = Arc::new(RecorderState::default());
    let recorder = Recorder::new(node, provider, metrics, batch_max, waiting, Arc::clone(&state));
    (Settler { queue, state }, recorder)
}

impl Settler {
    pub(super) fn is_behind(&self) -> bool {
        self.state.is_behind()
    }

    /// Queues the result of a leased entry.
    pub(super) async fn settle(
        &self,
        leased: &Leased,
        attempt: Option<AttemptRecord>,
        progress: Progress,
        disposition: Disposition,
        follow_ups: Vec<FollowUp>,
    ) {
        let settlement = Settlement {
            id: leased.id,
            token: leased.token,
            tried: attempt,
            disposition,
            progress,
            follow_ups,
        };
        let work = Work::Settle(settlement, leased.content.channel);
        self.put(Item::Work(work)).await;
    }

    /// Queues an entry to be given back without an attempt.
    pub(super) async fn release(&self, id: MessageId, token: LeaseToken) {
        self.put(Item::Work(Work::Release(id, token))).await;
    }

    /// Finishes a claimed entry if it was sent under its previous lease and that result is still set aside. False when it is not
    /// known to be sent.
    pub(super) async fn finish_sent(&self, leased: &Leased) -> bool {
        let Some(follow_ups) = self.state.sent_before(leased) else {
            return false;
        };
        self.settle(leased, None, leased.progress, Disposition::Finish, follow_ups)
            .await;
        true
    }

    /// Waits until everything queued so far is recorded.
    pub(super) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        self.put(Item::Flush(done)).await;
        let _ = flushed.await;
    }

    async fn put(&self, item: Item) {
        // The recorder ends only with its settler, or with the process.
        let _ = self.queue.send(item).await;
    }
}
