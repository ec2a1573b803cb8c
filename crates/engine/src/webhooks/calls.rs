//! One call to an endpoint, and the bodies of calls.

use std::{collections::BTreeMap, sync::Arc};

use domain::{Clock, Event, MessageId, WebhookPayload};
use store::{ANSWER_KEPT_BYTES, DeliveryAttempt, Endpoint, MessageDetail, StoreError};
use tokio::time::timeout;

use super::{
    CALL_TIMEOUT, CallAnswer, CallError, Outside, WebhookCall, WebhookCaller, WebhookMessage,
    queue::CallResult, signature,
};
use crate::{Node, dispatch::Dispatcher, hold::hold};

/// Signs a body, calls the endpoint, and says how that ended. An answer other than 2xx is a failure.
pub(super) async fn call(
    caller: &dyn WebhookCaller,
    endpoint: &Endpoint,
    webhook_id: String,
    body: Vec<u8>,
    clock: &dyn Clock,
) -> CallResult {
    let (at, began) = (clock.now(), clock.monotonic());
    let call = WebhookCall {
        url: endpoint.config.url.clone(),
        headers: signature::headers(endpoint, webhook_id, at, &body),
        body,
        timeout: CALL_TIMEOUT,
    };
    let answered = timeout(CALL_TIMEOUT, caller.call(call)).await;
    let latency = clock.monotonic().saturating_sub(began);
    let attempt = |status, error: &str, answer| DeliveryAttempt {
        at,
        latency,
        status,
        error: error.into(),
        answer,
    };
    match answered.unwrap_or(Err(CallError("timeout"))) {
        Ok(CallAnswer {
            status,
            body,
            retry_after,
        }) => {
            let delivered = (200..300).contains(&status);
            let error = if delivered { "" } else { "status" };
            CallResult {
                delivered,
                attempt: attempt(Some(status), error, storable(&body)),
                retry_after,
            }
        }
        Err(CallError(error)) => CallResult {
            delivered: false,
            attempt: attempt(None, error, Box::default()),
            retry_after: None,
        },
    }
}

/// Text that both databases take, within the bound.
fn storable(text: &str) -> Box<str> {
    let text = &text[..text.floor_char_boundary(ANSWER_KEPT_BYTES)];
    // PostgreSQL has no NUL in text; its replacement must not be longer.
    text.replace('\0', " ").into()
}

/// The bodies of events, with their messages as they are now.
pub(super) async fn bodies(
    node: &Node,
    dispatcher: &Arc<Dispatcher>,
    outside: &Outside,
    payload: WebhookPayload,
    events: &[Event],
) -> Result<Vec<Vec<u8>>, StoreError> {
    let details = match payload {
        WebhookPayload::Full => details(node, events).await?,
        WebhookPayload::Thin => BTreeMap::new(),
    };
    let body = |event: &Event| {
        let message_id = event.subject.message_id();
        let message = message_id.and_then(|id| details.get(&id)).map(|detail| {
            let (next_attempt_at, hold) = hold(dispatcher, &*node.clock, detail);
            WebhookMessage {
                detail,
                next_attempt_at,
                hold,
            }
        });
        outside.body.of_event(event, message)
    };
    Ok(events.iter().map(body).collect())
}

async fn details(node: &Node, events: &[Event]) -> Result<BTreeMap<MessageId, MessageDetail>, StoreError> {
    let mut ids: Vec<_> = events
        .iter()
        .filter_map(|event| event.subject.message_id())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let details = node.store.message_details(&ids).await?;
    Ok(details
        .into_iter()
        .map(|detail| (detail.message.id, detail))
        .collect())
}
