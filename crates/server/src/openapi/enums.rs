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
    /// Outbound: `pending`, then `dispatched` or `failed`. Inbound: `received`. It never goes back, except that a
    /// redrive makes a failed message pending again.
    Status;
    /// How an attempt to hand a message to its provider ended. After `timeout` and `unknown` (the lease expired) the
    /// provider may have taken the message.
    Outcome;
    /// Why a message was given up: as many failed attempts as allowed, its deadline, a provider that rejected it for
    /// good, workers that panicked over it, or no node that serves its provider any more.
    FailureReason;
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

/// `closed`: calls flow. `open`: none are made. `half_open`: a few probe whether the provider is back.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BreakerState {
    Closed,
    Open,
    HalfOpen,
}
