//! Schemas of values that are more than a string.

use domain::PHONE_CHARS_MAX;
use serde_json::json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Ref, RefOr,
        schema::{AnyOfBuilder, ObjectBuilder, Schema, SchemaFormat, Type},
    },
};

macro_rules! schemas {
    ($( $name:ident = $schema:expr; )+) => {
        $(
            pub(crate) struct $name;

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    $schema.into()
                }
            }

            impl ToSchema for $name {}
        )+
    };
}

schemas! {
    MessageId = text("The id of a message.")
        .format(Some(format("uuid")))
        .examples([json!("01a1fc5f-8b3e-7c61-9d0a-4f2b6c8e1a35")]);
    ConversationId = text("The id of a conversation: a positive integer, as a string.")
        .pattern(Some("^[1-9][0-9]{0,18}$"))
        .examples([json!("1")]);
    Timestamp = text("An instant in UTC, to the microsecond.")
        .format(Some(format("date-time")))
        .examples([json!("2026-11-21T10:00:00.123456Z")]);
    ProviderName = text("The name of a provider.")
        .pattern(Some("^[a-z0-9-]{1,32}$"))
        .examples([json!("sms-mms")]);
    ProviderMessageId = text("The provider's id of a message. Repeats are recognized by it.")
        .min_length(Some(1))
        .max_length(Some(255))
        .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]+$"))
        .examples([json!("message-1")]);
    ErrorCode = text("A stable code of a provider's error.")
        .pattern(Some("^[a-z0-9_]{0,64}$"))
        .examples([json!("server_error")]);
    IdempotencyKey = text(
        "Marks repeats of one request: 1 to 255 visible ASCII characters, bare or as a quoted string, which is the same \
         key. It is kept for a day unless the operator says otherwise.",
    )
    .pattern(Some(r#"^([!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}")$"#))
    .examples([json!("order-17")]);
    PhoneNumber = address(
        "7 to 15 digits with an optional leading `+` or `00` (spaces, hyphens, `.`, `(`, `)` and invisible characters may \
         separate them; `tel:` may precede them), or a short code of 2 to 6 digits. Kept and returned as given. With \
         `API_DEFAULT_REGION` the region's own international prefix counts as `+` too.",
    )
    .max_length(Some(PHONE_CHARS_MAX))
        .examples([json!("+18045551234"), json!("+1 (804) 555-1234"), json!("24365")]);
    Sender = address(
        "A phone number or short code, as for a recipient, or a sender name: 1 to 11 letters, digits, spaces and \
         `-_.&+!*?`, with at least one letter.",
    )
    .max_length(Some(PHONE_CHARS_MAX))
        .examples([json!("+12016661234"), json!("24365"), json!("Acme")]);
    EmailAddress = text(
        "An address such as name@example.com (RFC 5321 and 6531), without a display name. Kept and returned as given; \
         case, what follows a `+` in its name, and composed or decomposed letters do not tell participants apart.",
    )
    .format(Some(format("email")))
    .examples([json!("customer@example.com")]);
    Attachment = text("An absolute http or https URL. It is passed on, never fetched.")
        .format(Some(format("uri")))
        .pattern(Some(r"^[Hh][Tt][Tt][Pp][Ss]?://[^/\\\s]"))
        .max_length(Some(domain::Attachments::URL_CHARS_MAX))
        .examples([json!("https://example.com/menu.png")]);
    Address = address(
        "An email address if `channel` is `email`. Otherwise a phone number, a short code or, of a sender, a sender name.",
    )
    .examples([json!("+18045551234")]);
    Participant = address("An address or a sender name, in any formatting.")
        .examples([json!("+1 (804) 555-1234"), json!("customer@example.com")]);
    Text = text("Text without the character NUL.")
        .pattern(Some(r"^[^\u0000]*$"))
        .examples([json!("Hello!")]);
    HoldCode = AnyOfBuilder::new()
        .description(Some(
            "503 for an open breaker, 429 for a provider that asked to slow down, `scheduled` before the time to send, else the last error.",
        ))
        .item(ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([429, 503])))
        .item(Ref::from_schema_name("ErrorCode"));
    Metadata = ObjectBuilder::new()
        .description(Some("Names and values of the client: at most 16 texts, with 2,048 bytes of UTF-8 in all, names included."))
        .additional_properties(Some(ObjectBuilder::new().schema_type(Type::String).pattern(Some(r"^[^\u0000]*$"))))
        .examples([json!({"order": "17"})]);
    EventId = text("The place of an event in the log: ids grow, also as text. Send it as `after` to get what follows.")
        .pattern(Some("^[0-9]{16}$"))
        .examples([json!("0000000000000042")]);
    EventTypes = text("Types of events, separated by commas; without it, all.")
        .min_length(Some(1))
        .examples([json!("message.delivered,message.failed")]);
    WebhookEndpointId = text("The id of a webhook endpoint.")
        .format(Some(format("uuid")))
        .examples([json!("01a1fc5f-8b3e-7c61-9d0a-4f2b6c8e1a36")]);
    EndpointUrl = text(
        "An http or https URL without user and fragment. Redirects are never followed. Unless the operator allows them, \
         addresses of private networks and of loopback are refused when it is called.",
    )
        .format(Some(format("uri")))
        .min_length(Some(1))
        .max_length(Some(2_048))
        .examples([json!("https://example.com/hooks/trunkline")]);
    WebhookEventType = text("The type of an event, or `webhook_endpoint.test`.")
        .examples([json!("message.delivered")]);
    Percentage = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some("Share of calls in percent."))
        .minimum(Some(0))
        .maximum(Some(100))
        .examples([json!(5)]);
    Seed = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some("The same seed repeats the sequence of outcomes."))
        .minimum(Some(0))
        .maximum(Some(u64::MAX))
        .examples([json!(42)]);
    PageNumber = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .default(Some(json!(1)));
    WaitMs = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some("How long to wait, in milliseconds."))
        .minimum(Some(0))
        .maximum(Some(30_000))
        .examples([json!(10_000)]);
    WaitCount = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some("How many messages to wait for: 1 without it. Only with `wait_ms`."))
        .minimum(Some(1))
        .maximum(Some(10_000))
        .examples([json!(1)]);
    Count = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0));
}

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
}

/// Addresses have no pattern: a generated client would check it, and refuse valid addresses that it cannot express.
fn address(description: &str) -> ObjectBuilder {
    text(description).min_length(Some(1))
}

fn format(name: &str) -> SchemaFormat {
    SchemaFormat::Custom(name.to_owned())
}
