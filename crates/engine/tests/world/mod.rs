//! A node on driven time: the real engine over the reference store, with scripted providers.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(dead_code, reason = "each test file uses its part of the world")]

pub mod scripts;

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Address, Attachments, Body, Channel, Clock, Content, Entropy, ErrorCode, Fingerprint, MessageId,
    NewMessage, Outcome, ProviderName, Status, Timestamp,
};
use providers::{Call, Provider, RouteSettings, Routes, SendResult, scripted};
use resilience::{Backoff, BreakerSettings};
use store::{Deadlines, IdempotentRequest, MessageDetail, Store};
use store_model::Memory;
use trunkline_engine::{
    DispatchSettings, Engine, EngineSettings, LaneSettings, LimitSettings, Metrics, ProviderReport,
    SendError, Sent, SentOutcome, TokioTasks,
};

/// How long a test waits for a condition, on the driven clock.
const WAIT_MAX: Duration = Duration::from_secs(4 * 3_600);

/// A clock that follows tokio's paused time.
#[derive(Debug)]
pub struct DrivenClock {
    origin: tokio::time::Instant,
}

impl DrivenClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "tokio's clock is the one that is driven here"
    )]
    pub fn new() -> Self {
        Self {
            origin: tokio::time::Instant::now(),
        }
    }
}

impl Clock for DrivenClock {
    fn now(&self) -> Timestamp {
        Timestamp::parse("2026-11-21T10:00:00Z")
            .unwrap()
            .saturating_add(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// What a scripted provider does when it is called.
#[derive(Clone, Debug)]
pub enum Act {
    SendResult(SendResult),
    Hang,
    Panic,
    /// Answers after a while.
    Slow(Duration),
    After(Duration, Box<Act>),
}

pub fn success() -> Act {
    Act::SendResult(SendResult::Success {
        provider_message_id: None,
    })
}

/// A success with the provider's id of the message.
pub fn taken(id: &str) -> Act {
    Act::SendResult(SendResult::Success {
        provider_message_id: Some(id.parse().unwrap()),
    })
}

pub fn error() -> Act {
    Act::SendResult(SendResult::Error {
        error_code: ErrorCode::of("provider_error"),
    })
}

pub fn rejected() -> Act {
    Act::SendResult(SendResult::Rejected {
        error_code: ErrorCode::of("no_such_number"),
    })
}

pub fn rate_limited(retry_after: Duration) -> Act {
    let error_code = ErrorCode::of("provider_rate_limited");
    Act::SendResult(SendResult::RateLimited {
        retry_after: Some(retry_after),
        error_code,
    })
}

/// A provider that plays its script, one act for each call, and then its default.
#[derive(Debug)]
pub struct Scripted {
    name: ProviderName,
    channels: &'static [Channel],
    script: Mutex<VecDeque<Act>>,
    by_default: Mutex<Act>,
    calls: Mutex<Vec<(MessageId, u32, Duration)>>,
    in_flight: Mutex<(usize, usize)>,
    clock: Arc<dyn Clock>,
}

impl Scripted {
    pub fn play(&self, acts: impl IntoIterator<Item = Act>) {
        self.script.lock().unwrap().extend(acts);
    }

    pub fn always(&self, act: Act) {
        *self.by_default.lock().unwrap() = act;
    }

    /// Message, attempt number and time of every call.
    pub fn calls(&self) -> Vec<(MessageId, u32, Duration)> {
        self.calls.lock().unwrap().clone()
    }

    /// The most calls at the same time.
    pub fn in_flight_max(&self) -> usize {
        self.in_flight.lock().unwrap().1
    }
}

/// Counts a call that ends or is dropped.
struct Flight<'a>(&'a Scripted);

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.lock().unwrap().0 -= 1;
    }
}

#[async_trait]
impl Provider for Scripted {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn channels(&self) -> &'static [Channel] {
        self.channels
    }

    async fn send(&self, call: Call<'_>) -> SendResult {
        self.calls
            .lock()
            .unwrap()
            .push((call.message_id, call.attempt_number, self.clock.monotonic()));
        {
            let mut in_flight = self.in_flight.lock().unwrap();
            in_flight.0 += 1;
            in_flight.1 = in_flight.1.max(in_flight.0);
        }
        let _flight = Flight(self);
        let next = self.script.lock().unwrap().pop_front();
        let mut act = next.unwrap_or_else(|| self.by_default.lock().unwrap().clone());
        if let Act::After(time, then) = act {
            tokio::time::sleep(time).await;
            act = *then;
        }
        match act {
            Act::SendResult(answer) => answer,
            Act::Hang => std::future::pending().await,
            Act::Panic => panic!("scripted"),
            Act::After(..) => unreachable!("one pause is enough"),
            Act::Slow(time) => {
                tokio::time::sleep(time).await;
                SendResult::Success {
                    provider_message_id: None,
                }
            }
        }
    }
}

pub struct World {
    pub engine: Arc<Engine>,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub sms: Arc<Scripted>,
    pub backup: Arc<Scripted>,
    pub email: Arc<Scripted>,
}

pub fn settings() -> EngineSettings {
    EngineSettings {
        deadlines: Deadlines {
            sms: Duration::from_secs(14_400),
            email: Duration::from_secs(172_800),
        },
        idempotency_ttl: Duration::from_secs(86_400),
        events_retention: Duration::from_secs(604_800),
        commit_batch_max: 512,
        commit_queue_max: 4_096,
        limits: LimitSettings::per_minute(1_000_000, 1_000_000, 1_000_000),
        dispatch: DispatchSettings {
            batch_messages_max: 100,
            poll: Duration::from_millis(250),
            lease: Duration::from_secs(60),
            attempts_max: 12,
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(900)).unwrap(),
            default_region: None,
            lane: LaneSettings {
                concurrency: 8,
                call_timeout: Duration::from_secs(5),
                breaker: BreakerSettings {
                    error_threshold: 5,
                    open: Duration::from_secs(30),
                    max_open: Duration::from_secs(300),
                    half_open_samples: 3,
                    half_open_in_flight: 2,
                },
                has_breaker: true,
            },
            lanes: BTreeMap::new(),
        },
    }
}

impl World {
    pub async fn new(settings: EngineSettings) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
        let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::clone(&clock)));
        Self::on(settings, store, clock, &[Channel::Sms, Channel::Email])
    }

    /// A node on a store that others may share, serving some channels.
    pub fn on(
        settings: EngineSettings,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        serving: &[Channel],
    ) -> Self {
        Self::with_routes(settings, store, clock, serving, Vec::new())
    }

    /// A node whose providers `sms-mms` and `backup` both serve texts by these routes.
    pub async fn routed(settings: EngineSettings, routes: Vec<RouteSettings>) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
        let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::clone(&clock)));
        Self::with_routes(settings, store, clock, &[Channel::Sms], routes)
    }

    /// A node on a store that others may share; with routes, `backup` serves texts too.
    pub fn with_routes(
        settings: EngineSettings,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        serving: &[Channel],
        routes: Vec<RouteSettings>,
    ) -> Self {
        Self::build(settings, store, clock, serving, routes, None)
    }

    /// A node that plays the scripts of recipients, on a store that others may share.
    pub fn with_scripts(
        settings: EngineSettings,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        serving: &[Channel],
        ledger: Option<&Path>,
    ) -> Self {
        let scripts = scripted::Scripted::new(None, ledger, Arc::clone(&clock)).unwrap();
        Self::with_scripts_of(settings, store, clock, serving, Arc::new(scripts))
    }

    /// A node whose scripts another provider plays.
    pub fn with_scripts_of(
        settings: EngineSettings,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        serving: &[Channel],
        provider: Arc<dyn Provider>,
    ) -> Self {
        Self::build(settings, store, clock, serving, Vec::new(), Some(provider))
    }

    fn build(
        settings: EngineSettings,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        serving: &[Channel],
        routes: Vec<RouteSettings>,
        scripts: Option<Arc<dyn Provider>>,
    ) -> Self {
        let scripted = |name: &str, channels| {
            Arc::new(Scripted {
                name: name.parse().unwrap(),
                channels,
                script: Mutex::default(),
                by_default: Mutex::new(success()),
                calls: Mutex::default(),
                in_flight: Mutex::default(),
                clock: Arc::clone(&clock),
            })
        };
        let sms = scripted("sms-mms", &[Channel::Sms, Channel::Mms]);
        let email = scripted("email", &[Channel::Email]);
        let backup = scripted("backup", &[Channel::Sms, Channel::Mms]);
        let mut providers: Vec<Arc<dyn Provider>> = Vec::new();
        if serving.contains(&Channel::Sms) {
            providers.push(sms.clone());
        }
        if serving.contains(&Channel::Email) {
            providers.push(email.clone());
        }
        if !routes.is_empty() {
            providers.push(backup.clone());
        }
        let mut routes = Routes::new(providers).unwrap().with(routes).unwrap();
        if let Some(scripts) = scripts {
            routes = routes.with_scripted(scripts);
        }
        let metrics = Arc::new(Metrics::new());
        let entropy = Entropy::from_seed(7);
        let engine = Engine::start(
            settings,
            Arc::clone(&store),
            routes,
            Arc::clone(&clock),
            &entropy,
            metrics,
            Arc::new(TokioTasks),
        );
        Self {
            engine,
            store,
            clock,
            sms,
            backup,
            email,
        }
    }

    pub async fn send(&self, message: Send) -> Result<Sent, SendError> {
        self.send_outcome(message).await.result
    }

    pub async fn send_outcome(&self, (message, request): Send) -> SentOutcome {
        self.engine.send(message, request).await
    }

    /// Sends a message that must be accepted.
    pub async fn sent(&self, message: Send) -> MessageId {
        self.send(message).await.unwrap().id
    }

    pub async fn detail(&self, id: MessageId) -> MessageDetail {
        self.store.message(id).await.unwrap().unwrap()
    }

    pub async fn sms_report(&self) -> ProviderReport {
        self.engine.providers().await.unwrap().swap_remove(1)
    }

    pub async fn status(&self, id: MessageId) -> Status {
        self.detail(id).await.message.status
    }

    pub async fn outcomes(&self, id: MessageId) -> Vec<Outcome> {
        self.detail(id)
            .await
            .attempts
            .iter()
            .map(|attempt| attempt.outcome)
            .collect()
    }

    /// Waits until a message has this status.
    pub async fn until(&self, id: MessageId, status: Status) {
        let began = self.clock.monotonic();
        loop {
            let now = self.status(id).await;
            if now == status {
                return;
            }
            let by_receipt = matches!(status, Status::Delivered | Status::Undelivered);
            let final_already = matches!(now, Status::Dispatched | Status::Failed) && !by_receipt;
            let waited = self.clock.monotonic() - began;
            assert!(
                !final_already && waited < WAIT_MAX,
                "{now} instead of {status} after {waited:?}"
            );
            tick().await;
        }
    }

    pub fn metric(&self, line: &str) -> u64 {
        let text = self.engine.metrics().render().unwrap();
        let found = text
            .lines()
            .find_map(|candidate| candidate.strip_prefix(line)?.strip_prefix(' '));
        found.map_or(0, |value| value.parse().unwrap())
    }
}

/// A step of the driven clock, smaller than everything that is timed.
pub async fn tick() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

/// What the engine is asked to send.
pub type Send = (NewMessage, Option<IdempotentRequest>);

pub fn sms(body: &str) -> Send {
    message(Channel::Sms, "+12016661234", "+18045551234", body)
}

/// The same message, to be sent later.
pub fn scheduled((mut message, request): Send, send_at: Timestamp) -> Send {
    message.timestamp = Some(send_at);
    message.schedule.send_at = Some(send_at);
    (message, request)
}

/// The same message, with a deadline of its own.
pub fn expiring((mut message, request): Send, expires_at: Timestamp) -> Send {
    message.schedule.expires_at = Some(expires_at);
    (message, request)
}

pub fn email(body: &str) -> Send {
    message(Channel::Email, "shop@example.com", "customer@example.com", body)
}

pub fn message(channel: Channel, from: &str, to: &str, body: &str) -> Send {
    let from = Address::sender(channel, from, None).unwrap();
    let to = Address::recipient(channel, to, None).unwrap();
    let content = Content {
        channel,
        from: from.given,
        to: to.given,
        subject: None,
        body: Body::new(body).unwrap(),
        attachments: Attachments::default(),
        metadata: domain::Metadata::default(),
    };
    let message = NewMessage {
        from: from.participant,
        to: to.participant,
        content: Arc::new(content),
        timestamp: None,
        schedule: domain::Schedule::default(),
    };
    (message, None)
}

pub fn keyed(key: &str, (message, _): Send) -> Send {
    let request = IdempotentRequest {
        key: key.parse().unwrap(),
        fingerprint: Fingerprint::of([Some(message.content.body.as_str())]),
    };
    (message, Some(request))
}
