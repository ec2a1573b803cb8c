//! Gives imported messages their conversations.
//!
//! It keeps no state of its own: the store knows which messages have no conversation. So a backfill may be killed and run again,
//! several may run at once, and the service may run meanwhile.

use domain::{Address, AddressError, ConversationKey, MessageId, Region};
use store::{Assigned, Store, StoreError, WithoutConversation};

use crate::retry::retry_transient;

/// Messages in one transaction. The service waits for the locked conversations meanwhile, so this is no more than its own
/// batches.
pub const BACKFILL_BATCH_MAX: u32 = 500;

/// Ids of skipped messages in the report; further ones are only counted.
pub const BACKFILL_SKIPPED_SHOWN_MAX: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackfillProgress {
    /// Messages that were read.
    pub done: u64,
    /// Messages without a conversation at the start. Imports and other backfills may change it meanwhile.
    pub total: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackfillReport {
    /// Messages that it gave a conversation, without those whose answer was lost and those of other backfills.
    pub assigned: u64,
    /// New conversations.
    pub conversations: u64,
    /// Messages whose addresses cannot be read. They stay without a conversation.
    pub skipped: u64,
    /// The first of those, up to [`BACKFILL_SKIPPED_SHOWN_MAX`].
    pub skipped_ids: Vec<MessageId>,
}

/// Gives a conversation to every message that has none. `region` must be the service's own: otherwise a national number
/// becomes a second participant.
///
/// # Errors
/// When the store refuses, or stays away for too long. Finished batches stay; another run does the rest.
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

/// The key that the message would get if it were accepted now.
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
