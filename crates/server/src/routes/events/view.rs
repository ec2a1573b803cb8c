//! Events as the API shows them.

use domain::{
    ConversationId, ErrorCode, Event, EventId, EventSubject, EventType, MessageId, Timestamp,
    WebhookEndpointId,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi::{enums, schemas};

/// Something that has happened.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventView {
    #[schema(value_type = schemas::EventId)]
    id: EventId,
    #[schema(value_type = enums::EventType)]
    r#type: EventType,
    /// By the database's clock.
    #[schema(value_type = schemas::Timestamp)]
    at: Timestamp,
    data: EventDataView,
}

/// What an event is about. Events of messages and conversations have `message_id` and `conversation_id`,
/// `webhook_endpoint.disabled` has `webhook_endpoint_id`.
#[derive(Serialize, ToSchema)]
#[schema(as = EventData)]
pub(crate) struct EventDataView {
    /// Of a new conversation, its first message.
    #[schema(value_type = schemas::MessageId, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<MessageId>,
    #[schema(value_type = schemas::ConversationId, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<ConversationId>,
    #[schema(value_type = schemas::WebhookEndpointId, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_endpoint_id: Option<WebhookEndpointId>,
    /// Of a failed message, as `failure.reason` shows it; of a disabled endpoint, as `disabled_reason`.
    #[schema(value_type = String, required = false, example = "exhausted")]
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Of failed and undelivered messages, if known.
    #[schema(value_type = schemas::ErrorCode, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<ErrorCode>,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        Self {
            id: event.id,
            r#type: event.kind,
            at: event.at,
            data: event.subject.into(),
        }
    }
}

impl EventDataView {
    pub(crate) fn of_endpoint(id: WebhookEndpointId) -> Self {
        Self {
            message_id: None,
            conversation_id: None,
            webhook_endpoint_id: Some(id),
            reason: None,
            error_code: None,
        }
    }
}

impl From<EventSubject> for EventDataView {
    fn from(subject: EventSubject) -> Self {
        match subject {
            EventSubject::Message {
                message_id,
                conversation_id,
                reason,
                error_code,
            } => Self {
                message_id: Some(message_id),
                conversation_id: Some(conversation_id),
                webhook_endpoint_id: None,
                reason: reason.map(|reason| reason.as_str()),
                error_code,
            },
            EventSubject::WebhookEndpoint { id, reason } => Self {
                reason: Some(reason.as_str()),
                ..Self::of_endpoint(id)
            },
        }
    }
}
