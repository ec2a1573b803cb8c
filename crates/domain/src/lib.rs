//! The nouns of Trunkline and their rules.
//!
//! A value of these types is always valid: input from outside is parsed into one, or refused with an error that says how
//! to correct it. Nothing here depends on a database, a provider, HTTP or tokio. Time and randomness are arguments:
//! [`Clock`] and [`Entropy`].

mod address;
mod attempt;
mod channel;
mod clock;
mod conversation;
mod draft;
mod email;
mod entropy;
mod event;
mod idempotency;
mod ids;
mod likely;
mod message;
mod metadata;
mod page;
mod phone;
mod receipt;
mod script;
mod snippet;
mod text;
mod timestamp;
mod vocabulary;
mod webhook;

pub use address::{Address, AddressError, GivenAddress, Participant, WrongCharacter};
pub use attempt::{Attempt, ErrorCode, FailureReason, Outcome};
pub use channel::{Channel, ConversationChannel};
pub use clock::{Clock, SystemClock};
pub use conversation::{Conversation, ConversationKey};
pub use draft::{Draft, DraftRules, FieldError, Origin};
pub use email::without_display_name;
pub use entropy::Entropy;
pub use event::{DisabledReason, Event, EventId, EventSubject, EventType};
pub use idempotency::{Fingerprint, IdempotencyKey, IdempotencyKeyError};
pub use ids::{
    ConversationId, InvalidId, LeaseToken, MessageId, ProviderMessageId, ProviderName, WebhookEndpointId,
};
pub use likely::likely_meant;
pub use message::{Content, Direction, Failure, Message, NewMessage, OutboxState, Schedule, Status};
pub use metadata::{Metadata, MetadataError};
pub use page::{
    ConversationPosition, CursorError, PAGE_BYTES_MAX, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, Page, PageRequest,
    Position, ReceiptPosition, Start, TOTAL_COUNTED_MAX, ThreadPosition, Total,
};
pub use phone::{PHONE_CHARS_MAX, Region, RegionError};
pub use receipt::{Delivery, Receipt, ReceiptStatus};
pub use script::{FollowUp, FollowUpAction, Script, Step};
pub use snippet::snippet;
pub use text::{Attachments, AttachmentsError, Body, Subject, TextError};
pub use timestamp::Timestamp;
pub use vocabulary::UnknownWord;
pub use webhook::{DeliveryStatus, WebhookPayload};
