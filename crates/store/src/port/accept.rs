//! Accepting: what goes in, and what came of it.

use std::{sync::Arc, time::Duration};

use domain::{
    Content, ConversationId, ConversationKey, Fingerprint, IdempotencyKey, LeaseToken, MessageId,
    ProviderMessageId, ProviderName, Timestamp,
};

/// A message to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// Its id, minted before it is stored, so that it can be looked up when a commit goes unanswered.
    pub id: MessageId,
    /// Where it belongs.
    pub conversation: ConversationKey,
    /// What it says.
    pub content: Arc<Content>,
    /// When it was written.
    pub timestamp: Timestamp,
    /// When it was accepted, by the node's clock.
    pub processed_at: Timestamp,
    /// Who will serve it, or brought it.
    pub provider: ProviderName,
    /// Which way it goes, and by what repeats are recognized.
    pub kind: Kind,
}

/// Which way an accepted message goes, and by what repeats are recognized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Outbound: gets an outbox entry.
    Send {
        /// The client's key, if it gave one.
        request: Option<IdempotentRequest>,
        /// How long it may be tried.
        deadline: Duration,
        /// Lease the new entry to the accepting node for this long, with the token [`FIRST_LEASE`].
        lease: Option<Duration>,
    },
    /// Inbound.
    Receive {
        /// The provider's id, by which repeats are recognized.
        provider_message_id: ProviderMessageId,
        /// The request as it came.
        payload: Box<str>,
    },
}

/// A request that can be recognized when it is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotentRequest {
    /// The client's key.
    pub key: IdempotencyKey,
    /// What the request said.
    pub fingerprint: Fingerprint,
}

/// The token of an entry that was leased while it was accepted.
pub const FIRST_LEASE: LeaseToken = LeaseToken(1);

/// What became of a message that was to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is stored.
    New {
        /// Its conversation.
        conversation_id: ConversationId,
        /// Its place in it; 1 means that the conversation is new.
        sequence: u64,
    },
    /// An earlier request with this key or provider message id was; nothing changed.
    Repeated {
        /// The message of the earlier request.
        id: MessageId,
        /// Its conversation; an imported message may have none yet.
        conversation_id: Option<ConversationId>,
    },
    /// An earlier request had this key and said something else; nothing changed.
    KeyConflict,
}
