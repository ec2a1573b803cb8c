//! Enums of the domain as schemas, from the same lists that parse and print them.

use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, Schema, Type},
    },
};

macro_rules! enums {
    ($( $(#[doc = $doc:literal])+ $name:ident; )+) => {
        $(
            $(#[doc = $doc])+
            pub(crate) struct $name;

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    ObjectBuilder::new()
                        .schema_type(Type::String)
                        .description(Some(concat!($($doc),+).trim()))
                        .enum_values(Some(domain::$name::ALL.iter().map(|word| word.as_str())))
                        .into()
                }
            }

            impl ToSchema for $name {}
        )+
    };
}

enums! {
    /// The kind of message.
    Channel;
    /// The channel of a conversation; SMS and MMS share one.
    ConversationChannel;
    /// `outbound`: to a provider. `inbound`: from one.
    Direction;
    /// Outbound: `scheduled` while `send_at` is ahead, then `pending`, then `dispatched`, `failed` or `canceled`. Receipts make it
    /// `delivered` or `undelivered`. Inbound: `received`. It never goes back, except that a redrive makes a failed message
    /// pending again.
    Status;
    /// How an attempt to hand a message to its provider ended. `rejected` is for good. After `timeout` and `unknown` (the lease expired) the
    /// provider may have taken the message.
    Outcome;
    /// Why a message was given up: as many failed attempts as allowed, its deadline, a provider that rejected it for
    /// good, workers that panicked over it, or no node that serves its provider any more.
    FailureReason;
    /// What a provider reports about a message after it took it. `sent`: handed on, not yet arrived.
    ReceiptStatus;
    /// What has happened. Events of a message are in the order in which they happened.
    EventType;
    /// Whether an event that did not get through is still tried.
    DeliveryStatus;
    /// `full`: the event with its message as it is when the event is sent. `thin`: the event alone.
    WebhookPayload;
    /// Why the node disabled an endpoint: it answered `410` (`gone`), or nothing got through for three days (`failing`).
    DisabledReason;
}

/// The channels of the routes for text messages.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes what `domain::Origin::channel` reads")]
pub(crate) enum PhoneChannel {
    Sms,
    Mms,
}

/// The channel of the routes for email.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes what `domain::Origin::channel` reads")]
pub(crate) enum EmailChannel {
    Email,
}

/// What a message waits for: its time to be sent, its provider's breaker, a provider that asked to slow down, or the time to pass after
/// a failed attempt.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HoldReason {
    Scheduled,
    BreakerOpen,
    RateLimited,
    Backoff,
}

/// How a request that waited ended: `met` if what it waited for is there, `timed_out` if the time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Waited {
    Met,
    TimedOut,
}

impl Waited {
    pub(crate) fn of(met: bool) -> Self {
        if met { Self::Met } else { Self::TimedOut }
    }
}

/// `closed`: calls flow. `open`: none are made. `half_open`: a few probe whether the provider is back.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BreakerState {
    Closed,
    Open,
    HalfOpen,
}
