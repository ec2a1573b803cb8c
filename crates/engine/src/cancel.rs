use std::sync::Arc;

use domain::MessageId;
use store::Canceled;

use crate::{Engine, Rejection, accept::answer_in_time};

impl Engine {
    /// Cancels a message if it is certain that no provider has it or is being called with it. The work always runs to completion.
    ///
    /// # Errors
    /// When the message is not canceled, or may not be.
    pub async fn cancel(self: &Arc<Self>, id: MessageId) -> Result<Canceled, Rejection> {
        let node = Arc::clone(&self.node);
        let answer = self.run_to_completion(async move {
            let canceled = node.store.cancel(id).await;
            if canceled != Ok(Canceled::NotFound) {
                // An answer may be lost after the commit.
                node.events.changed();
            }
            if let Ok(canceled) = canceled {
                node.metrics.count_cancel(canceled);
            }
            canceled
        });
        let canceled = answer_in_time(answer).await.ok_or(Rejection::OutcomeUnknown)?;
        canceled.map_err(|error| self.rejection_of(error, "a message cannot be canceled"))
    }
}
