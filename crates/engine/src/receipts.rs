use std::sync::Arc;

use domain::{MessageId, Receipt};
use store::{StoreError, Unavailable};

use crate::{Engine, Rejection, accept::answer_in_time};

impl Engine {
    /// Stores a receipt and applies it if it matches a message already; returns that message. The work always runs to completion.
    ///
    /// # Errors
    /// When the receipt is not stored, or may not be: the provider should repeat it. Repeats change nothing.
    pub async fn receive_receipt(self: &Arc<Self>, receipt: Receipt) -> Result<Option<MessageId>, Rejection> {
        let node = Arc::clone(&self.node);
        let answer = self.run_to_completion(async move {
            let applied = node.store.store_receipt(&receipt).await;
            match &applied {
                Ok(None) => node.metrics.count_receipt(receipt.status, false),
                Ok(Some(applied)) => {
                    node.events.changed();
                    node.metrics.count_receipt(receipt.status, true);
                    node.metrics.count_expired_lease(applied);
                    let message_id = applied.message_id;
                    tracing::debug!(%message_id, status = %receipt.status, "a receipt was applied");
                }
                // It may be applied.
                Err(_) => node.events.changed(),
            }
            applied.map(|applied| applied.map(|applied| applied.message_id))
        });
        let applied = answer_in_time(answer).await.ok_or(Rejection::OutcomeUnknown)?;
        applied.map_err(|error| self.rejection_of(error, "a receipt cannot be stored"))
    }

    /// The reason goes to the log, not to the client.
    pub(crate) fn rejection_of(&self, error: StoreError, problem: &'static str) -> Rejection {
        match error {
            StoreError::Unavailable(Unavailable { outage, reason }) => {
                tracing::warn!(reason, "{problem}: the client gets 503 and may repeat");
                Rejection::Unavailable(outage)
            }
            StoreError::OutcomeUnknown(reason) => {
                tracing::warn!(
                    reason,
                    "{problem}, or is already: the client gets 503 and may repeat"
                );
                Rejection::OutcomeUnknown
            }
            StoreError::Refused(reason) => {
                tracing::error!(
                    reason,
                    "{problem}: the database refuses it, and the client gets 500"
                );
                Rejection::Refused
            }
        }
    }
}
