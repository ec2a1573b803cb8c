use std::time::Duration;

use async_trait::async_trait;
use domain::{Channel, MessageId, Page, PageRequest, ProviderName, Receipt, ReceiptPosition};

use crate::StoreError;

/// Stores the receipts of providers and applies them to their messages.
///
/// A receipt matches a message by an attempt on record, at its provider if it names one. First counts an attempt with its
/// provider message id, if only one message has such attempts; then, if it names our own message id, an attempt of that message
/// that ended `success`, `timeout` or `unknown`. A receipt that matches is applied once: it joins the message's
/// [`Delivery`](domain::Delivery). It also proves that a provider has the message, so the outbox entry of a pending or dead
/// message is deleted. An entry that is leased is left alone; the receipt is applied when the entry is settled or given back, or its lease
/// has expired, which is first recorded as in [`Outbox::claim`](crate::Outbox::claim). Receipts that match nothing yet are kept.
/// Receipts that are applied at the same time change the status once.
#[async_trait]
pub trait Receipts: Send + Sync {
    /// Stores a receipt, then applies it if it matches. It is durable also if only the
    /// second step failed: then this returns `None`, and [`Receipts::match_receipts`] applies it.
    async fn store_receipt(&self, receipt: &Receipt) -> Result<Option<AppliedReceipt>, StoreError>;

    /// Applies up to `limit` receipts that were stored within the last `within` and match by now.
    /// [`Outbox::settle`](crate::Outbox::settle) applies those of the messages it settles itself; this is for what a crash or a
    /// race left.
    async fn match_receipts(&self, within: Duration, limit: u32) -> Result<Vec<AppliedReceipt>, StoreError>;

    /// Receipts, the latest first; `matched` filters by whether they were applied to a message.
    async fn receipts(
        &self,
        matched: Option<bool>,
        page: &PageRequest<ReceiptPosition>,
    ) -> Result<Page<StoredReceipt, ReceiptPosition>, StoreError>;

    /// Deletes up to `limit` receipts that match nothing and were stored longer than `kept` ago, and returns how many.
    async fn purge_receipts(&self, kept: Duration, limit: u32) -> Result<u64, StoreError>;
}

/// The most receipts of one message that a read returns, the latest received.
pub const RECEIPTS_SHOWN_MAX: usize = 100;

/// A receipt that was applied to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedReceipt {
    pub message_id: MessageId,
    /// The provider and channel of the `unknown` attempt that was recorded for an expired lease; once for each message.
    pub lease_expired: Option<(ProviderName, Channel)>,
}

/// A receipt in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReceipt {
    pub position: ReceiptPosition,
    pub receipt: Receipt,
    /// The message it was applied to.
    pub applied_to: Option<MessageId>,
}
