//! Webhook endpoints of clients. A call that arrived counts, also if its answer is lost.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{Event, EventId, EventType, Timestamp, WebhookEndpointId};
use engine::{CallAnswer, CallError, WebhookBody, WebhookCall, WebhookCaller, WebhookMessage};
use parking_lot::Mutex;
use store::{EndpointConfig, EndpointUrl, NewEndpoint, WebhookSecret, Webhooks};

use super::Common;
use crate::{draw::Draw, plan::ReceiverKind};

/// Calls that one node makes, by the number in their URLs.
#[derive(Debug)]
pub(crate) struct Receivers {
    all: Vec<(ReceiverKind, Draw)>,
    healed: Mutex<bool>,
}

/// A call that arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) receiver: usize,
    pub(crate) event: EventId,
    pub(crate) taken: bool,
}

impl Receivers {
    pub(crate) fn new(kinds: &[ReceiverKind], draw: &Draw) -> Self {
        let receiver =
            |(number, kind): (usize, &ReceiverKind)| (*kind, draw.child(&format!("receiver/{number}")));
        Self {
            all: kinds.iter().enumerate().map(receiver).collect(),
            healed: Mutex::new(false),
        }
    }

    /// Creates an endpoint for each.
    pub(crate) async fn register(&self, common: &Common) {
        for number in 0..self.all.len() {
            let id = WebhookEndpointId::mint(
                common.database.now(),
                &common.draw.entropy(&format!("endpoint/{number}")),
            );
            let config = EndpointConfig {
                url: EndpointUrl(number.to_string().into()),
                types: None,
                payload: domain::WebhookPayload::Full,
                description: None,
            };
            let secret = WebhookSecret(Box::new([0; 32]));
            let endpoint = NewEndpoint { id, config, secret };
            let created = common.database.memory.create_endpoint(&endpoint, 10).await;
            assert!(matches!(created, Ok(Some(_))), "the model stores an endpoint");
        }
    }

    /// From now on all take everything, at once.
    pub(crate) fn heal(&self) {
        *self.healed.lock() = true;
    }

    fn status(&self, receiver: usize, conversation: &str) -> Option<u16> {
        let (kind, draw) = &self.all[receiver];
        if *self.healed.lock() {
            return Some(200);
        }
        match kind {
            ReceiverKind::Quick | ReceiverKind::Slow => Some(200),
            ReceiverKind::Dead => None,
            ReceiverKind::FailsOne if conversation == "1" => Some(500),
            ReceiverKind::FailsOne => Some(200),
            ReceiverKind::Flaky => Some(draw.pick(&[200, 200, 500])),
            ReceiverKind::Gone => Some(draw.pick(&[200, 200, 200, 410])),
        }
    }

    fn latency(&self, receiver: usize) -> Duration {
        let (kind, draw) = &self.all[receiver];
        match kind {
            ReceiverKind::Slow if !*self.healed.lock() => draw.millis(500, 5_000),
            _ => draw.millis(0, 50),
        }
    }
}

/// The way of one node's calls to the receivers.
#[derive(Clone)]
pub(crate) struct Caller(pub(crate) Arc<Common>);

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Caller")
    }
}

#[async_trait]
impl WebhookCaller for Caller {
    fn check(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    async fn call(&self, call: WebhookCall) -> Result<CallAnswer, CallError> {
        let receivers = &self.0.receivers;
        let receiver: usize = call.url.0.parse().expect("a URL of this world");
        let body = String::from_utf8(call.body).expect("a body of this world");
        let (event, conversation) = body.split_once(' ').expect("a body of this world");
        let event: EventId = event.parse().expect("a body of this world");
        tokio::time::sleep(receivers.latency(receiver)).await;
        let status = receivers.status(receiver, conversation);
        self.0.observer.arrived(Arrival {
            receiver,
            event,
            taken: status == Some(200),
        });
        let Some(status) = status else {
            tokio::time::sleep(call.timeout).await;
            return Err(CallError("timeout"));
        };
        tokio::time::sleep(receivers.latency(receiver)).await;
        Ok(CallAnswer {
            status,
            body: Box::default(),
            retry_after: None,
        })
    }
}

#[async_trait]
impl WebhookBody for Caller {
    fn of_event(&self, event: &Event, message: Option<WebhookMessage<'_>>) -> Vec<u8> {
        let about_a_message = event.kind != EventType::WebhookEndpointDisabled;
        if about_a_message && message.is_none() {
            let detail = format!("event {} came without its message", event.id);
            self.0.observer.found("a full payload has its message", detail);
        }
        let conversation = event.subject.conversation_id();
        let conversation = conversation.map_or_else(String::new, |id| id.to_string());
        format!("{} {conversation}", event.id).into_bytes()
    }

    fn of_test(&self, _: WebhookEndpointId, _: Timestamp) -> Vec<u8> {
        Vec::new()
    }
}
