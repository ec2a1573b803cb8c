//! Webhook endpoints and their deliveries as the API shows them.

use domain::{DeliveryStatus, DisabledReason, EventType, Timestamp, WebhookEndpointId, WebhookPayload};
use engine::{TestReport, WebhookBody, WebhookMessage, spelled_secret};
use serde::Serialize;
use store::{DeliveryAttempt, Endpoint, WebhookDelivery};
use utoipa::ToSchema;

use crate::{
    openapi::{enums, schemas},
    routes::{
        events::view::{EventDataView, EventView},
        messages::view::MessageDetailView,
    },
    settings::ServerSettings,
};

/// A URL that gets events.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub(super) struct EndpointView {
    #[schema(value_type = schemas::WebhookEndpointId)]
    id: WebhookEndpointId,
    #[schema(value_type = schemas::EndpointUrl)]
    url: Box<str>,
    /// Null for all types, also those of later versions.
    #[schema(required, value_type = Option<Vec<enums::EventType>>)]
    types: Option<Vec<EventType>>,
    #[schema(value_type = enums::WebhookPayload)]
    payload: WebhookPayload,
    #[schema(required, value_type = Option<String>)]
    description: Option<Box<str>>,
    enabled: bool,
    /// Why the node disabled it.
    #[schema(value_type = enums::DisabledReason, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_reason: Option<DisabledReason>,
    #[schema(value_type = schemas::Timestamp)]
    created_at: Timestamp,
    /// Events that got through, replayed ones included.
    #[schema(value_type = schemas::Count)]
    delivered_total: u64,
    #[schema(required, value_type = Option<schemas::Timestamp>)]
    last_delivered_at: Option<Timestamp>,
    /// The first failure since an event last got through; null without one.
    #[schema(required, value_type = Option<schemas::Timestamp>)]
    failing_since: Option<Timestamp>,
    /// The age in seconds of the oldest event that was not sent yet; 0 without one. Events listed under `deliveries` do not
    /// count. Missing in the answer to a rotation.
    #[schema(minimum = 0, example = 0.25, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<f64>,
    /// Whether a replay is under way.
    replaying: bool,
    /// The secret before the latest rotation also signs until then.
    #[schema(value_type = schemas::Timestamp, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_secret_until: Option<Timestamp>,
}

/// An endpoint, with its secret: it is shown only now.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpointWithSecret)]
pub(super) struct EndpointWithSecret {
    #[serde(flatten)]
    endpoint: EndpointView,
    /// Verifies the signatures: `whsec_` and 32 bytes in Base64.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=")]
    secret: String,
}

/// All endpoints, oldest first.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookEndpoints {
    pub(super) items: Vec<EndpointView>,
}

impl EndpointView {
    /// `lag` is in seconds.
    pub(super) fn of(endpoint: Endpoint, lag: Option<f64>, now: Timestamp) -> Self {
        let Endpoint {
            id,
            config,
            secret: _,
            previous_secrets,
            enabled,
            disabled_reason,
            created_at,
            cursor: _,
            replay_until,
            delivered_total,
            last_delivered_at,
            failing_since,
        } = endpoint;
        let previous_secret_until = previous_secrets.first().map(|(_, until)| *until);
        Self {
            id,
            url: config.url.0,
            types: config.types,
            payload: config.payload,
            description: config.description,
            enabled,
            disabled_reason,
            created_at,
            delivered_total,
            last_delivered_at,
            failing_since,
            lag,
            replaying: replay_until.is_some(),
            previous_secret_until: previous_secret_until.filter(|until| *until > now),
        }
    }
}

impl EndpointWithSecret {
    pub(super) fn of(endpoint: Endpoint, lag: Option<f64>, now: Timestamp) -> Self {
        let secret = spelled_secret(&endpoint.secret);
        Self {
            endpoint: EndpointView::of(endpoint, lag, now),
            secret,
        }
    }
}

/// An event that did not get through yet, or was given up.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub(super) struct DeliveryView {
    event: EventView,
    #[schema(value_type = enums::DeliveryStatus)]
    status: DeliveryStatus,
    /// Null while it waits for an earlier event of its conversation, and once it has failed.
    #[schema(required, value_type = Option<schemas::Timestamp>)]
    next_attempt_at: Option<Timestamp>,
    /// Oldest first, at most 20: the first and the latest. Empty while it waits for an earlier event.
    attempts: Vec<DeliveryAttemptView>,
}

/// A call to an endpoint that failed.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookAttempt)]
struct DeliveryAttemptView {
    #[schema(value_type = schemas::Timestamp)]
    at: Timestamp,
    #[schema(value_type = schemas::Count, example = 12)]
    latency_ms: u64,
    /// The HTTP status; null without an answer.
    #[schema(required, minimum = 100, maximum = 999, example = 500)]
    status: Option<u16>,
    /// What went wrong, in a word.
    #[schema(example = "status")]
    error: Box<str>,
    /// The first 1,024 bytes of the answer, as text. Kept for the latest two attempts, and empty for those before.
    answer: Box<str>,
}

impl From<WebhookDelivery> for DeliveryView {
    fn from(delivery: WebhookDelivery) -> Self {
        let WebhookDelivery {
            event,
            status,
            due_at,
            attempts,
        } = delivery;
        Self {
            event: event.into(),
            status,
            next_attempt_at: due_at,
            attempts: attempts.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<DeliveryAttempt> for DeliveryAttemptView {
    fn from(attempt: DeliveryAttempt) -> Self {
        let DeliveryAttempt {
            at,
            latency,
            status,
            error,
            answer,
        } = attempt;
        Self {
            at,
            latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
            status,
            error,
            answer,
        }
    }
}

/// What came back from a test.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookTest {
    /// Whether the endpoint answered with a 2xx status.
    delivered: bool,
    #[schema(value_type = schemas::Count, example = 12)]
    latency_ms: u64,
    /// The HTTP status; null without an answer.
    #[schema(required, minimum = 100, maximum = 999, example = 204)]
    status: Option<u16>,
    /// What went wrong, in a word; null if nothing did.
    #[schema(required, example = "timeout")]
    error: Option<Box<str>>,
    /// The first 1,024 bytes of the answer, as text.
    answer: Box<str>,
}

impl From<TestReport> for WebhookTest {
    fn from(report: TestReport) -> Self {
        let TestReport {
            delivered,
            latency,
            status,
            error,
            answer,
        } = report;
        Self {
            delivered,
            latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
            status,
            error,
            answer,
        }
    }
}

/// What an endpoint gets, as the body of a `POST`. The header `webhook-id` is the event's id, the same in each try;
/// `webhook-timestamp` and `webhook-signature` are as Standard Webhooks 1.0 defines them.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEvent)]
pub(crate) struct WebhookEventView {
    #[schema(value_type = schemas::WebhookEventType)]
    r#type: &'static str,
    /// When it happened.
    #[schema(value_type = schemas::Timestamp)]
    timestamp: Timestamp,
    data: WebhookEventDataView,
}

/// What the event is about.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEventData)]
struct WebhookEventDataView {
    #[serde(flatten)]
    event: EventDataView,
    /// With the payload `full`: the message as it is when the event is sent. Missing if it is deleted.
    #[schema(value_type = MessageDetailView, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<MessageDetailView>,
}

/// The type of a test. It is in no log.
const TEST: &str = "webhook_endpoint.test";

/// Makes the bodies of webhooks.
#[derive(Debug)]
pub struct WebhookBodies {
    snippet_graphemes: usize,
}

impl WebhookBodies {
    #[must_use]
    pub fn new(settings: &ServerSettings) -> Self {
        Self {
            snippet_graphemes: settings.snippet_graphemes,
        }
    }
}

impl WebhookBody for WebhookBodies {
    fn of_event(&self, event: &domain::Event, message: Option<WebhookMessage<'_>>) -> Vec<u8> {
        let message = message.map(|message| {
            let WebhookMessage {
                detail,
                next_attempt_at,
                hold,
            } = message;
            MessageDetailView::of(self.snippet_graphemes, detail.clone(), (next_attempt_at, hold))
        });
        write(&WebhookEventView {
            r#type: event.kind.as_str(),
            timestamp: event.at,
            data: WebhookEventDataView {
                event: event.subject.clone().into(),
                message,
            },
        })
    }

    fn of_test(&self, id: WebhookEndpointId, at: Timestamp) -> Vec<u8> {
        write(&WebhookEventView {
            r#type: TEST,
            timestamp: at,
            data: WebhookEventDataView {
                event: EventDataView::of_endpoint(id),
                message: None,
            },
        })
    }
}

/// These views are text, numbers and lists: they can always be written.
fn write(view: &WebhookEventView) -> Vec<u8> {
    serde_json::to_vec(view).unwrap_or_default()
}
