//! Gives every message that has no conversation the one it belongs to: imported messages come without.
//!
//! It keeps nothing of its own: what is left to do is what the store says has no conversation. So it may be killed at any
//! point and run again, several may run at once, and the service may go on meanwhile.

use domain::{Address, AddressError, ConversationKey, MessageId, Region};
use store::{Assigned, Store, StoreError, WithoutConversation};

use crate::retry::retry_transient;

/// Messages that are given their conversation in one transaction. The service waits for the rows of their conversations
/// meanwhile, so it is not more than the service's own batches.
pub const BACKFILL_BATCH_MAX: u32 = 500;

/// Ids of skipped messages that are kept to be told; beyond, they are only counted.
pub const BACKFILL_SKIPPED_SHOWN_MAX: usize = 20;

/// How far a backfill is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackfillProgress {
    /// Messages it has looked at.
    pub done: u64,
    /// Messages without a conversation when it began. More may have come since, or others may have been quicker.
    pub total: u64,
}

/// What a backfill came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackfillReport {
    /// Messages that it gave a conversation. What it did without hearing so, because the connection was lost, or what
    /// another backfill did, is not among them.
    pub assigned: u64,
    /// Conversations that are new.
    pub conversations: u64,
    /// Messages whose addresses cannot be read: they still have none.
    pub skipped: u64,
    /// The first of those, up to [`BACKFILL_SKIPPED_SHOWN_MAX`].
    pub skipped_ids: Vec<MessageId>,
}

/// Gives a conversation to every message that has none. National phone numbers are read in `region`, which should be the
/// service's own: else the same number means two participants.
///
/// # Errors
/// When the store refuses or stays away. What was done stays done, and running it again does the rest.
pub async fn backfill(
    store: &dyn Store,
    region: Option<Region>,
    mut progress: impl FnMut(BackfillProgress),
) -> Result<BackfillReport, StoreError> {
    let total = retry_transient(async || store.count_without_conversation().await).await?;
    let mut report = BackfillReport::default();
    let (mut done, mut after) = (0, None);
    loop {
        progress(BackfillProgress { done, total });
        let batch =
            retry_transient(async || store.without_conversation(after, BACKFILL_BATCH_MAX).await).await?;
        let Some(last) = batch.last() else {
            return Ok(report);
        };
        after = Some(last.id);
        done += batch.len() as u64;
        let mut keys = Vec::with_capacity(batch.len());
        for message in &batch {
            match conversation_key(message, region) {
                Ok(key) => keys.push((message.id, key)),
                Err(_) => report.skip(message.id),
            }
        }
        if keys.is_empty() {
            continue;
        }
        let Assigned {
            messages,
            conversations,
        } = retry_transient(async || store.assign(&keys).await).await?;
        report.assigned += messages;
        report.conversations += conversations;
    }
}

/// Where a message belongs: the same key as if it were accepted today.
fn conversation_key(
    message: &WithoutConversation,
    region: Option<Region>,
) -> Result<ConversationKey, AddressError> {
    let WithoutConversation {
        id: _,
        channel,
        from,
        to,
    } = message;
    let from = Address::sender(*channel, from.as_str(), region)?;
    let to = Address::recipient(*channel, to.as_str(), region)?;
    Ok(ConversationKey::new(
        channel.conversation(),
        from.participant,
        to.participant,
    ))
}

impl BackfillReport {
    fn skip(&mut self, id: MessageId) {
        self.skipped += 1;
        if self.skipped_ids.len() < BACKFILL_SKIPPED_SHOWN_MAX {
            self.skipped_ids.push(id);
        }
    }
}
