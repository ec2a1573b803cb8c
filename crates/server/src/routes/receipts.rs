use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Query, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::{ErrorCode, FieldError, MessageId, ProviderName, Receipt, ReceiptStatus, Timestamp};
use serde::{Deserialize, Serialize};
use store::StoredReceipt;
use utoipa::ToSchema;

use super::{
    listing::{Envelope, ListingParameters, Paging, answer},
    message_body::provider_message_id,
    messages::view::ReceiptView,
    webhooks::{read_limited, reject},
};
use crate::{
    App,
    extract::AppState,
    json::{parse, parse_lenient},
    lenient,
    openapi::{
        enums,
        problems::{ListErrors, MockReceiptErrors, ReceiptErrors},
        schemas,
    },
    problem::Problem,
    telemetry,
};

/// Bytes of a receipt in an answer.
const RECEIPT_BYTES: usize = 1_024;

/// What a provider reports about a message. It names the message by `provider_message_id`, by `message_id`, or by both. Fields
/// that are not listed are ignored.
#[derive(Deserialize, ToSchema)]
struct ReceiptWebhook {
    /// Without it, a `provider_message_id` matches only if no two providers gave it.
    #[schema(value_type = Option<schemas::ProviderName>)]
    #[serde(default, deserialize_with = "lenient::text_or_integer")]
    provider: Option<String>,
    #[schema(value_type = Option<schemas::ProviderMessageId>)]
    #[serde(default, deserialize_with = "lenient::text_or_integer")]
    provider_message_id: Option<String>,
    /// Of providers that echo it: the id that the send returned.
    #[schema(value_type = Option<schemas::MessageId>)]
    #[serde(default, deserialize_with = "lenient::text_or_integer")]
    message_id: Option<String>,
    #[schema(required, value_type = enums::ReceiptStatus)]
    #[serde(default, deserialize_with = "lenient::text_or_integer")]
    status: Option<String>,
    /// Other characters than letters, digits and `_` become `_`.
    #[schema(value_type = Option<String>, example = "blocked")]
    #[serde(default, deserialize_with = "lenient::text_or_integer")]
    error_code: Option<String>,
    /// When it happened, in RFC 3339. If it is missing, cannot be read, is before 1990 or more than an hour ahead, the time at
    /// which the receipt came counts.
    #[serde(default, deserialize_with = "lenient::timestamp")]
    #[schema(value_type = Option<String>, example = "2026-11-21T10:00:00Z")]
    timestamp: Option<Timestamp>,
}

/// A receipt as a simulated provider sends it.
#[derive(Deserialize, ToSchema)]
struct MockReceipt {
    #[schema(required, value_type = schemas::MessageId)]
    message_id: Option<String>,
    #[schema(required, value_type = enums::ReceiptStatus)]
    status: Option<String>,
    /// Other characters than letters, digits and `_` become `_`.
    #[schema(value_type = Option<String>, example = "blocked")]
    error_code: Option<String>,
    /// When it happened: now, if it is missing or cannot be believed.
    #[serde(default, deserialize_with = "lenient::timestamp")]
    #[schema(value_type = Option<String>, example = "2026-11-21T10:00:00Z")]
    timestamp: Option<Timestamp>,
}

/// A durable receipt.
#[derive(Serialize, ToSchema)]
struct AcceptedReceipt {
    /// Always `accepted`.
    #[schema(pattern = "^accepted$", example = "accepted")]
    status: &'static str,
}

/// Receive a receipt
///
/// A `202` means that the receipt is durable, also if it names a message that is not known yet. Repeats change nothing. A receipt
/// that proves that a provider took a message ends its retries.
#[utoipa::path(
    post, path = "/api/webhooks/receipts", operation_id = "receiveReceipt", tag = "Receive",
    request_body(
        content = ReceiptWebhook,
        examples(
            ("delivered" = (value = json!({"provider": "sms-mms", "provider_message_id": "message-1", "status": "delivered", "timestamp": "2026-11-21T10:00:05Z"}))),
            ("undelivered" = (value = json!({"message_id": "01a1fc5f-8b3e-7c61-9d0a-4f2b6c8e1a35", "status": "undelivered", "error_code": "blocked"}))),
        ),
    ),
    responses((status = 202, body = AcceptedReceipt, description = "Stored."), ReceiptErrors),
)]
pub(crate) async fn receive(State(app): AppState, request: Request) -> Result<Response, Problem> {
    let body = read_limited(&app, request).await?;
    let receipt = parse_lenient(&body).and_then(|body: ReceiptWebhook| body.read(app.engine().now()));
    accept(&app, receipt.map_err(reject)?).await
}

/// Inject a receipt
///
/// The simulated provider of the message reports its delivery. This route exists only while a provider is simulated.
#[utoipa::path(
    post, path = "/api/provider/mock/receipt", operation_id = "injectReceipt", tag = "Simulated providers",
    request_body(
        content = MockReceipt,
        examples(
            ("delivered" = (value = json!({"message_id": "01a1fc5f-8b3e-7c61-9d0a-4f2b6c8e1a35", "status": "delivered"}))),
        ),
    ),
    responses((status = 202, body = AcceptedReceipt, description = "Stored."), MockReceiptErrors),
)]
pub(crate) async fn inject(State(app): AppState, request: Request) -> Result<Response, Problem> {
    let body = read_limited(&app, request).await?;
    let receipt = parse(&body).and_then(|body: MockReceipt| {
        let body = ReceiptWebhook {
            provider: None,
            provider_message_id: None,
            message_id: body.message_id,
            status: body.status,
            error_code: body.error_code,
            timestamp: body.timestamp,
        };
        body.read(app.engine().now())
    });
    accept(&app, receipt.map_err(reject)?).await
}

impl ReceiptWebhook {
    fn read(self, now: Timestamp) -> Result<Receipt, Problem> {
        let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let mut errors = Vec::new();
        let status = given(self.status).ok_or_else(|| FieldError::new("/status", "is required"));
        let status = status.and_then(|word| {
            let read = word.trim().to_ascii_lowercase().parse::<ReceiptStatus>();
            read.map_err(|error| FieldError::new("/status", error))
        });
        let provider = given(self.provider).map(|name| {
            let read = name.trim().parse::<ProviderName>();
            read.map_err(|error| FieldError::new("/provider", error))
        });
        let provider_message_id =
            given(self.provider_message_id).map(|id| provider_message_id("/provider_message_id", Some(id)));
        let message_id = given(self.message_id).map(|id| {
            let read = id.trim().parse::<MessageId>();
            read.map_err(|error| FieldError::new("/message_id", error))
        });
        // One id is enough: some providers put other text into the field of our id.
        let message_id = match (&provider_message_id, message_id) {
            (Some(Ok(_)), Some(Err(_))) => None,
            (None, None) => {
                let detail = "is required, or else provider_message_id";
                Some(Err(FieldError::new("/message_id", detail)))
            }
            (_, message_id) => message_id,
        };
        let mut keep = |error: FieldError| errors.push(error);
        let provider = provider.transpose().map_err(&mut keep).ok().flatten();
        let provider_message_id = provider_message_id.transpose().map_err(&mut keep).ok().flatten();
        let message_id = message_id.transpose().map_err(&mut keep).ok().flatten();
        let status = status.map_err(&mut keep).ok();
        let (Some(status), true) = (status, errors.is_empty()) else {
            return Err(Problem::invalid(errors));
        };
        let believed = self.timestamp.filter(|at| at.is_believable(now));
        Ok(Receipt {
            provider,
            provider_message_id,
            message_id,
            status,
            error_code: given(self.error_code).map(|code| ErrorCode::from_provider(code.trim())),
            at: believed.unwrap_or(now),
            received_at: now,
        })
    }
}

async fn accept(app: &App, receipt: Receipt) -> Result<Response, Problem> {
    if let Some(message_id) = app.engine().receive_receipt(receipt).await? {
        telemetry::record_message(message_id, None);
    }
    let body = AcceptedReceipt { status: "accepted" };
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// A receipt, and the message it belongs to.
#[derive(Serialize, ToSchema)]
#[schema(as = ListedReceipt)]
struct ListedReceiptView {
    #[serde(flatten)]
    receipt: ReceiptView,
    /// Whether it was applied to a message.
    matched: bool,
    /// The message it was applied to, or else the one it names; null if it names none.
    #[schema(required, value_type = Option<schemas::MessageId>)]
    message_id: Option<MessageId>,
}

impl From<StoredReceipt> for ListedReceiptView {
    fn from(stored: StoredReceipt) -> Self {
        Self {
            matched: stored.applied_to.is_some(),
            message_id: stored.applied_to.or(stored.receipt.message_id),
            receipt: stored.receipt.into(),
        }
    }
}

/// List receipts
///
/// Latest first. Receipts that match no message are deleted after `API_EVENTS_RETENTION_SECS`.
#[utoipa::path(
    get, path = "/api/receipts", operation_id = "listReceipts", tag = "Read",
    params(
        Paging,
        ("matched" = Option<bool>, Query, description = "Only those that were applied to a message, or only those that match nothing yet."),
    ),
    responses((status = 200, body = Envelope<ListedReceiptView>, description = "A page of receipts."), ListErrors),
)]
pub(crate) async fn list(
    State(app): AppState,
    query: Query<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    let parameters = ListingParameters::of(query);
    let matched = parameters
        .given("matched")
        .map(|_| parameters.flag("matched"))
        .transpose()?;
    let request = parameters.page()?;
    let room = app
        .answers()
        .room(request.size() as usize * RECEIPT_BYTES)
        .await?;
    let page = app.engine().store().receipts(matched, &request).await?;
    answer(&app, room, &request, page, ListedReceiptView::from).await
}
