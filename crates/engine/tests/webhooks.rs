//! Webhooks by the real engine on driven time: receivers that take, fail, hang and vanish; nodes that die; changes under way.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod world;

#[allow(dead_code, reason = "other tests break more of it")]
#[path = "../../server/tests/api/world/faulty_store.rs"]
mod faulty_store;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Channel, Clock, DeliveryStatus, DisabledReason, Event, EventId, EventType, Page, PageRequest, Start,
    Timestamp, WebhookEndpointId, WebhookPayload,
};
use faulty_store::{Fault, FaultyStore};
use store::{
    Endpoint, EndpointChange, EndpointConfig, EndpointUrl, EventsRead, ReplayFrom, Store, WebhookDelivery,
    WebhookSecret,
};
use store_model::Memory;
use tokio::task::{AbortHandle, JoinHandle};
use trunkline_engine::{
    CallAnswer, CallError, Engine, Metrics, Spawn, Task, WebhookBody, WebhookCall, WebhookCaller,
    WebhookMessage, sign_webhook,
};
use world::{DrivenClock, World, message, settings, tick};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const OK: &str = "http://ok.example";

/// A call as a receiver sees it.
#[derive(Debug, Clone)]
struct Seen {
    url: String,
    webhook_id: String,
    timestamp: String,
    signatures: Vec<String>,
    body: String,
    at: Duration,
}

/// What a receiver does.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Status(u16),
    RetryAfter(u16, Duration),
    Hang,
}

/// Receivers by their URLs; those that are not listed take everything.
#[derive(Debug)]
struct Receivers {
    clock: Arc<dyn Clock>,
    seen: Mutex<Vec<Seen>>,
    answers: Mutex<BTreeMap<&'static str, Answer>>,
}

impl Receivers {
    fn answer(&self, url: &'static str, answer: Answer) {
        self.answers.lock().unwrap().insert(url, answer);
    }

    fn seen(&self, url: &str) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.url == url).cloned().collect()
    }

    /// The bodies that arrived, each once, in the order of their first arrival.
    fn bodies(&self, url: &str) -> Vec<String> {
        let mut ids = BTreeSet::new();
        let mut seen = self.seen(url);
        seen.retain(|seen| ids.insert(seen.webhook_id.clone()));
        seen.into_iter().map(|seen| seen.body).collect()
    }

    /// Waits until a receiver was called this often.
    async fn until(&self, url: &str, calls: usize, within: Duration) {
        let began = self.clock.monotonic();
        while self.seen(url).len() < calls {
            let waited = self.clock.monotonic() - began;
            assert!(
                waited < within,
                "{} of {calls} calls of {url}",
                self.seen(url).len()
            );
            tick().await;
        }
    }
}

#[async_trait]
impl WebhookCaller for Receivers {
    fn check(&self, url: &str) -> Result<(), String> {
        if url.starts_with("http") {
            return Ok(());
        }
        Err("use a URL that begins with https://".to_owned())
    }

    async fn call(&self, call: WebhookCall) -> Result<CallAnswer, CallError> {
        let [id, timestamp, signature] = call.headers.map(|(_, value)| value);
        self.seen.lock().unwrap().push(Seen {
            url: call.url.0.to_string(),
            webhook_id: id,
            timestamp,
            signatures: signature.split(' ').map(str::to_owned).collect(),
            body: String::from_utf8(call.body).unwrap(),
            at: self.clock.monotonic(),
        });
        let answer = self.answers.lock().unwrap().get(&*call.url.0).copied();
        let (status, retry_after) = match answer {
            None => (200, None),
            Some(Answer::Status(status)) => (status, None),
            Some(Answer::RetryAfter(status, after)) => (status, Some(after)),
            Some(Answer::Hang) => std::future::pending().await,
        };
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(CallAnswer {
            status,
            body: "an answer with \0 in it".into(),
            retry_after,
        })
    }
}

/// `type conversation text`, or `type` alone.
#[derive(Debug)]
struct Plain;

impl WebhookBody for Plain {
    fn of_event(&self, event: &Event, message: Option<WebhookMessage<'_>>) -> Vec<u8> {
        let kind = event.kind.to_string();
        let rest = message.map(|message| {
            let message = &message.detail.message;
            format!(" {} {}", message.thread.unwrap().0, message.content.body.as_str())
        });
        (kind + &rest.unwrap_or_default()).into_bytes()
    }

    fn of_test(&self, _: WebhookEndpointId, _: Timestamp) -> Vec<u8> {
        b"test".to_vec()
    }
}

struct Hooks {
    world: World,
    receivers: Arc<Receivers>,
}

impl Hooks {
    async fn new() -> Self {
        Self::in_world(World::new(settings()).await)
    }

    fn on_a_faulty_store() -> (Self, Arc<FaultyStore>) {
        let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
        let store = Arc::new(FaultyStore::new(Arc::new(Memory::new(Arc::clone(&clock)))));
        let world = World::on(settings(), store.clone(), clock, &[Channel::Sms]);
        (Self::in_world(world), store)
    }

    fn in_world(world: World) -> Self {
        let receivers = Arc::new(Receivers {
            clock: Arc::clone(&world.clock),
            seen: Mutex::default(),
            answers: Mutex::default(),
        });
        deliver(&world.engine, &receivers);
        Self { world, receivers }
    }

    async fn endpoint(&self, url: &str) -> Endpoint {
        let created = self.world.engine.webhooks().create(config(url)).await;
        created.unwrap()
    }

    async fn now(&self, id: WebhookEndpointId) -> Endpoint {
        self.world.engine.webhooks().get(id).await.unwrap().unwrap()
    }

    async fn deliveries(&self, id: WebhookEndpointId) -> Vec<WebhookDelivery> {
        let page = PageRequest::new(100, Start::First);
        let Page { items, .. } = self
            .world
            .engine
            .webhooks()
            .deliveries(id, None, &page)
            .await
            .unwrap()
            .unwrap();
        items
    }

    /// Sends a text to a person, and waits for its dispatch.
    async fn send(&self, person: u32, body: &str) {
        let to = format!("+1804555{person:04}");
        let id = self
            .world
            .sent(message(Channel::Sms, "+12016661234", &to, body))
            .await;
        self.world.until(id, domain::Status::Dispatched).await;
    }

    /// Waits until an endpoint has taken this many events.
    async fn until_delivered(&self, id: WebhookEndpointId, events: u64, within: Duration) {
        let began = self.world.clock.monotonic();
        loop {
            let delivered = self.now(id).await.delivered_total;
            if delivered >= events {
                return;
            }
            let waited = self.world.clock.monotonic() - began;
            assert!(waited < within, "{delivered} of {events} delivered");
            tick().await;
        }
    }
}

fn deliver(engine: &Arc<Engine>, receivers: &Arc<Receivers>) {
    engine.deliver_webhooks(Arc::clone(receivers) as _, Arc::new(Plain));
}

fn config(url: &str) -> EndpointConfig {
    EndpointConfig {
        url: EndpointUrl(url.into()),
        types: None,
        payload: WebhookPayload::Full,
        description: None,
    }
}

fn is_signed(seen: &Seen, secret: &WebhookSecret) -> bool {
    let signature = sign_webhook(secret, &seen.webhook_id, &seen.timestamp, seen.body.as_bytes());
    seen.signatures.contains(&signature)
}

/// What a message's events look like to a receiver.
fn events_of(conversation: u32, body: &str) -> Vec<String> {
    ["message.accepted", "message.dispatched"]
        .map(|kind| format!("{kind} {conversation} {body}"))
        .to_vec()
}

#[tokio::test(start_paused = true)]
async fn events_arrive_signed_and_in_the_order_of_their_conversation() {
    let hooks = Hooks::new().await;
    hooks.send(1, "before the endpoint").await;
    let endpoint = hooks.endpoint(OK).await;
    for body in ["a", "b", "c"] {
        hooks.send(1, body).await;
        hooks.send(2, body).await;
    }
    hooks.until_delivered(endpoint.id, 13, SECOND).await;
    let bodies = hooks.receivers.bodies(OK);
    for conversation in [1, 2] {
        let of_it = bodies
            .iter()
            .filter(|body| body.contains(&format!(" {conversation} ")));
        let of_it: Vec<_> = of_it
            .filter(|body| body.starts_with("message"))
            .cloned()
            .collect();
        let expected: Vec<_> = ["a", "b", "c"]
            .iter()
            .flat_map(|body| events_of(conversation, body))
            .collect();
        assert_eq!(of_it, expected);
    }
    let seen = hooks.receivers.seen(OK);
    assert_eq!(seen.len(), 13, "nothing is sent twice");
    assert!(seen.iter().all(|seen| is_signed(seen, &endpoint.secret)));
    let labels = format!("{{endpoint=\"{}\",result=\"delivered\"}}", endpoint.id);
    assert_eq!(
        hooks
            .world
            .metric(&format!("trunkline_webhook_calls_total{labels}")),
        13
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_and_a_failing_one_delay_no_other() {
    let hooks = Hooks::new().await;
    hooks.receivers.answer("http://dead", Answer::Hang);
    hooks.receivers.answer("http://fails", Answer::Status(500));
    let dead = hooks.endpoint("http://dead").await;
    let fails = hooks.endpoint("http://fails").await;
    let takes = hooks.endpoint(OK).await;
    for person in 0..50 {
        hooks.send(person, "text").await;
    }
    hooks.until_delivered(takes.id, 150, SECOND).await;
    let [dead, fails] = [hooks.now(dead.id).await, hooks.now(fails.id).await];
    assert_eq!((dead.delivered_total, fails.delivered_total), (0, 0));
    assert!(fails.failing_since.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_failing_event_is_tried_again_and_holds_its_conversation_alone() {
    let hooks = Hooks::new().await;
    let endpoint = hooks.endpoint(OK).await;
    hooks.receivers.answer(OK, Answer::Status(302));
    hooks.send(1, "first").await;
    hooks.receivers.until(OK, 1, SECOND).await;
    hooks.receivers.answer(OK, Answer::Status(200));
    hooks.send(2, "other").await;
    hooks.until_delivered(endpoint.id, 3, SECOND).await;
    let held = hooks.deliveries(endpoint.id).await;
    let kinds: Vec<_> = held.iter().map(|held| held.event.kind).collect();
    assert_eq!(
        kinds,
        [
            EventType::ConversationCreated,
            EventType::MessageAccepted,
            EventType::MessageDispatched
        ]
    );
    assert!(held.iter().all(|held| held.status == DeliveryStatus::Pending));
    let attempt = &held[0].attempts[0];
    assert_eq!((attempt.status, &*attempt.error), (Some(302), "status"));
    assert_eq!(&*attempt.answer, "an answer with   in it");
    assert!(held[1].attempts.is_empty());
    hooks.until_delivered(endpoint.id, 6, 7 * SECOND).await;
    let seen = hooks.receivers.seen(OK);
    let tries: Vec<_> = seen
        .iter()
        .filter(|one| one.webhook_id == seen[0].webhook_id)
        .collect();
    let pause = tries[1].at - tries[0].at;
    assert!(
        (Duration::from_millis(4_500)..6 * SECOND).contains(&pause),
        "{pause:?}"
    );
    assert!(hooks.deliveries(endpoint.id).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_whose_deliveries_cannot_be_loaded_is_leased_again_within_a_second_and_holds_up_no_other()
{
    let (hooks, store) = Hooks::on_a_faulty_store();
    let endpoint = hooks.endpoint(OK).await;
    let other = hooks.endpoint("http://other.example").await;
    hooks.send(1, "a").await;
    hooks.until_delivered(endpoint.id, 3, SECOND).await;
    hooks.until_delivered(other.id, 3, SECOND).await;
    store.set(Fault::LoadsNoDeliveries);
    let webhooks = hooks.world.engine.webhooks();
    // It takes the lease away.
    let unchanged = EndpointChange::default();
    webhooks.change(endpoint.id, &unchanged).await.unwrap();
    tokio::time::sleep(5 * SECOND).await;
    hooks.send(1, "b").await;
    hooks.until_delivered(other.id, 5, SECOND).await;
    assert_eq!(hooks.now(endpoint.id).await.delivered_total, 3);
    store.set(Fault::None);
    hooks.until_delivered(endpoint.id, 5, SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_kept() {
    let hooks = Hooks::new().await;
    let endpoint = hooks.endpoint(OK).await;
    hooks.receivers.answer(OK, Answer::RetryAfter(503, 40 * SECOND));
    hooks.send(1, "text").await;
    hooks.receivers.until(OK, 1, SECOND).await;
    hooks.receivers.answer(OK, Answer::Status(200));
    hooks.until_delivered(endpoint.id, 3, 42 * SECOND).await;
    let seen = hooks.receivers.seen(OK);
    assert!(seen[1].at - seen[0].at >= 40 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_change_takes_effect_at_once() {
    let hooks = Hooks::new().await;
    let endpoint = hooks.endpoint(OK).await;
    hooks.send(1, "a").await;
    hooks.until_delivered(endpoint.id, 3, SECOND).await;
    let webhooks = hooks.world.engine.webhooks();
    let change = EndpointChange {
        url: Some(EndpointUrl("http://new.example".into())),
        types: Some(Some(vec![EventType::MessageDispatched])),
        payload: Some(WebhookPayload::Thin),
        ..EndpointChange::default()
    };
    webhooks.change(endpoint.id, &change).await.unwrap().unwrap();
    hooks.send(1, "b").await;
    hooks.until_delivered(endpoint.id, 4, SECOND).await;
    assert_eq!(hooks.receivers.seen(OK).len(), 3);
    assert_eq!(
        hooks.receivers.bodies("http://new.example"),
        ["message.dispatched"]
    );
    let disable = EndpointChange {
        enabled: Some(false),
        ..EndpointChange::default()
    };
    webhooks.change(endpoint.id, &disable).await.unwrap();
    hooks.send(1, "c").await;
    tokio::time::sleep(MINUTE).await;
    assert_eq!(hooks.receivers.seen("http://new.example").len(), 1);
    let enable = EndpointChange {
        enabled: Some(true),
        ..EndpointChange::default()
    };
    webhooks.change(endpoint.id, &enable).await.unwrap();
    hooks.until_delivered(endpoint.id, 5, SECOND).await;
    assert!(webhooks.delete(endpoint.id).await.unwrap());
    hooks.send(1, "d").await;
    tokio::time::sleep(MINUTE).await;
    assert_eq!(hooks.receivers.seen("http://new.example").len(), 2);
    let text = hooks.world.engine.metrics().render().unwrap();
    assert!(
        !text.contains(&endpoint.id.to_string()),
        "series of a deleted endpoint"
    );
}

#[tokio::test(start_paused = true)]
async fn after_rotations_each_secret_of_the_last_24_hours_signs() {
    let hooks = Hooks::new().await;
    let endpoint = hooks.endpoint(OK).await;
    let webhooks = hooks.world.engine.webhooks();
    let rotated = webhooks.rotate_secret(endpoint.id).await.unwrap().unwrap();
    assert_ne!(rotated.secret, endpoint.secret);
    assert_eq!(rotated.secret.0.len(), 32);
    // As if the answer had been lost.
    let again = webhooks.rotate_secret(endpoint.id).await.unwrap().unwrap();
    hooks.send(1, "text").await;
    hooks.until_delivered(endpoint.id, 3, SECOND).await;
    for seen in hooks.receivers.seen(OK) {
        assert_eq!(seen.signatures.len(), 3);
        for secret in [&again.secret, &rotated.secret, &endpoint.secret] {
            assert!(is_signed(&seen, secret));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_gone_endpoint_is_disabled_and_resumes_with_what_it_has_not_taken() {
    let hooks = Hooks::new().await;
    let endpoint = hooks.endpoint(OK).await;
    hooks.receivers.answer(OK, Answer::Status(410));
    hooks.send(1, "text").await;
    hooks.receivers.until(OK, 1, SECOND).await;
    tokio::time::sleep(MINUTE).await;
    let disabled = hooks.now(endpoint.id).await;
    assert_eq!(
        (disabled.enabled, disabled.disabled_reason),
        (false, Some(DisabledReason::Gone))
    );
    assert_eq!(hooks.receivers.seen(OK).len(), 1);
    let EventsRead::Events(events) = hooks.world.store.events(EventId::START, 100).await.unwrap() else {
        panic!("expired")
    };
    let disabled = |event: &&Event| event.kind == EventType::WebhookEndpointDisabled;
    assert_eq!(events.iter().filter(disabled).count(), 1);
    let metric = "trunkline_webhook_endpoints_disabled_total{reason=\"gone\"}";
    assert_eq!(hooks.world.metric(metric), 1);
    hooks.receivers.answer(OK, Answer::Status(200));
    let enable = EndpointChange {
        enabled: Some(true),
        ..EndpointChange::default()
    };
    let webhooks = hooks.world.engine.webhooks();
    webhooks.change(endpoint.id, &enable).await.unwrap();
    hooks.until_delivered(endpoint.id, 4, SECOND).await;
    let bodies = hooks.receivers.bodies(OK);
    assert_eq!(bodies[0], "conversation.created 1 text");
    assert!(bodies.contains(&"webhook_endpoint.disabled".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_replay_delivers_past_events_again_with_the_same_ids() {
    let hooks = Hooks::new().await;
    let endpoint = hooks.endpoint(OK).await;
    hooks.send(1, "a").await;
    hooks.send(1, "b").await;
    hooks.until_delivered(endpoint.id, 5, SECOND).await;
    let first = hooks.receivers.seen(OK);
    let webhooks = hooks.world.engine.webhooks();
    let from = ReplayFrom::After(EventId::START);
    let replaying = webhooks.replay(endpoint.id, from).await.unwrap().unwrap();
    assert!(replaying.replay_until.is_some());
    hooks.until_delivered(endpoint.id, 10, SECOND).await;
    let again = hooks.receivers.seen(OK).split_off(5);
    let ids = |seen: &[Seen]| -> Vec<_> { seen.iter().map(|seen| seen.webhook_id.clone()).collect() };
    assert_eq!(ids(&first), ids(&again));
    assert_eq!(hooks.now(endpoint.id).await.replay_until, None);
}

#[tokio::test(start_paused = true)]
async fn a_test_is_one_call_without_a_trace() {
    let hooks = Hooks::new().await;
    let endpoint = hooks.endpoint(OK).await;
    let webhooks = hooks.world.engine.webhooks();
    let report = webhooks.test(endpoint.id).await.unwrap().unwrap();
    assert_eq!(
        (report.delivered, report.status, report.error),
        (true, Some(200), None)
    );
    hooks.receivers.answer(OK, Answer::Hang);
    let report = webhooks.test(endpoint.id).await.unwrap().unwrap();
    assert_eq!(report.error.as_deref(), Some("timeout"));
    assert_eq!(report.latency, 15 * SECOND);
    let seen = hooks.receivers.seen(OK);
    assert!(is_signed(&seen[0], &endpoint.secret));
    assert_ne!(seen[0].webhook_id, seen[1].webhook_id);
    let now = hooks.now(endpoint.id).await;
    assert_eq!((now.delivered_total, now.failing_since), (0, None));
    let bad = webhooks.create(config("gopher://old.example")).await;
    assert_eq!(
        bad.unwrap_err().to_string(),
        "use a URL that begins with https://"
    );
}

/// Runs tasks until the node is killed.
#[derive(Debug, Default)]
struct Mortal(Mutex<Vec<AbortHandle>>);

impl Spawn for Mortal {
    fn spawn(&self, task: Task) -> JoinHandle<()> {
        let task = tokio::spawn(task);
        self.0.lock().unwrap().push(task.abort_handle());
        task
    }
}

impl Mortal {
    fn kill(&self) {
        self.0.lock().unwrap().iter().for_each(AbortHandle::abort);
    }
}

/// Two nodes on one store. Only the second sends messages.
async fn two_nodes() -> (Hooks, Arc<Engine>, Arc<Mortal>) {
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::clone(&clock)));
    let receivers = Arc::new(Receivers {
        clock: Arc::clone(&clock),
        seen: Mutex::default(),
        answers: Mutex::default(),
    });
    let mortal = Arc::new(Mortal::default());
    let routes = providers::Routes::new(Vec::new()).unwrap();
    let first = Engine::start(
        settings(),
        Arc::clone(&store),
        routes,
        Arc::clone(&clock),
        &domain::Entropy::from_seed(8),
        Arc::new(Metrics::new()),
        Arc::clone(&mortal) as _,
    );
    deliver(&first, &receivers);
    let world = World::on(settings(), store, clock, &[Channel::Sms]);
    let endpoint = first.webhooks().create(config(OK)).await.unwrap();
    // The first node holds the lease when the second begins to look for endpoints.
    tick().await;
    deliver(&world.engine, &receivers);
    let hooks = Hooks { world, receivers };
    hooks.send(1, "a").await;
    hooks.until_delivered(endpoint.id, 3, SECOND).await;
    (hooks, first, mortal)
}

#[tokio::test(start_paused = true)]
async fn after_a_kill_another_node_goes_on_when_the_lease_expires() {
    let (hooks, _first, mortal) = two_nodes().await;
    mortal.kill();
    hooks.send(1, "b").await;
    hooks.send(2, "c").await;
    hooks.receivers.until(OK, 8, 32 * SECOND).await;
    let bodies = hooks.receivers.bodies(OK);
    assert_eq!(bodies.len(), 8);
    let of_first: Vec<_> = bodies
        .iter()
        .filter(|body| body.contains(" 1 "))
        .skip(1)
        .collect();
    let expected = [events_of(1, "a"), events_of(1, "b")].concat();
    assert_eq!(of_first, expected.iter().collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_gives_its_endpoints_back() {
    let (hooks, first, _) = two_nodes().await;
    first.drain(10 * SECOND).await;
    hooks.send(1, "b").await;
    hooks.receivers.until(OK, 5, 2 * SECOND).await;
    assert_eq!(hooks.receivers.seen(OK).len(), 5, "nothing is sent twice");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lost_its_lease_makes_no_more_calls() {
    let (hooks, first, _) = two_nodes().await;
    // A change on the second node takes the lease from the first, which does not know yet.
    let endpoints = hooks.world.engine.webhooks().list().await.unwrap();
    let change = EndpointChange {
        url: Some(EndpointUrl("http://new.example".into())),
        ..EndpointChange::default()
    };
    tokio::time::sleep(2 * SECOND).await;
    let webhooks = hooks.world.engine.webhooks();
    webhooks.change(endpoints[0].id, &change).await.unwrap();
    hooks.send(1, "b").await;
    hooks.receivers.until("http://new.example", 2, SECOND).await;
    assert_eq!(hooks.receivers.seen(OK).len(), 3, "the old URL was called");
    drop(first);
}
