//! A node on a real socket and a real file, and what tests need around it.

mod client;
mod clock;
mod faulty_store;
mod log;
mod receiver;
mod stream;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use domain::{Clock, DraftRules, Entropy};
use engine::{DispatchSettings, Engine, EngineSettings, LaneSettings, LimitSettings, Metrics, TokioTasks};
use providers::{
    Routes,
    simulator::{SimulatorSettings, Simulators, receipt_channel},
};
use resilience::{Backoff, BreakerSettings};
use serde_json::{Value, json};
use store::Deadlines;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use trunkline_server::{
    AllowedHosts, App, ConnectionSettings, ServeError, Server, ServerSettings, WebhookBodies,
};

pub use client::{Client, Response, read_to_end};
pub use clock::DrivenClock;
pub use faulty_store::{Fault, FaultyStore};
pub use log::Log;
pub use receiver::Receiver;
pub use stream::EventStream;

/// The longest wait for anything in a test.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// The pause between two polls of a condition.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// A node.
pub struct World {
    pub client: Client,
    engine: Arc<Engine>,
    pub clock: Arc<DrivenClock>,
    pub store: Arc<FaultyStore>,
    /// What webhook endpoints get.
    pub receiver: Arc<Receiver>,
    ledger: PathBuf,
    server: Server,
    /// Until the node is ready.
    app: Option<App>,
    _folder: TempDir,
}

/// The settings of a test's node.
pub struct Settings {
    pub engine: EngineSettings,
    pub connections: ConnectionSettings,
    pub server: ServerSettings,
    pub simulators: SimulatorSettings,
}

impl Default for Settings {
    /// As in production, but with limits that no test reaches, and short waits.
    fn default() -> Self {
        let engine = EngineSettings {
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
                poll: Duration::from_millis(10),
                // Longer than any test moves its clock.
                lease: Duration::from_secs(3_600),
                attempts_max: 12,
                backoff: Backoff::new(Duration::from_millis(10), Duration::from_secs(900)).unwrap(),
                default_region: None,
                lane: LaneSettings {
                    concurrency: 8,
                    call_timeout: Duration::from_millis(50),
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
        };
        let server = ServerSettings {
            body_bytes_max: 262_144,
            snippet_graphemes: 64,
            drafts: DraftRules {
                default_region: None,
                attachments_max: 10,
            },
            api_keys: None,
            // The names that tests use.
            allowed_hosts: Some(AllowedHosts::loopback_and(["trunkline.test", "a"]).unwrap()),
            trusted_proxies: Vec::new(),
        };
        let connections = ConnectionSettings {
            idle_timeout: Duration::from_secs(75),
            per_address_max: 1_024,
            trusted_proxies: Vec::new(),
        };
        let simulators = SimulatorSettings::default();
        Self {
            engine,
            connections,
            server,
            simulators,
        }
    }
}

impl Settings {
    /// Only these simulators are configured.
    pub fn only(&mut self, names: &[&str]) {
        let simulators = &mut self.simulators.instances;
        simulators.retain(|instance| names.contains(&instance.name.as_str()));
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut world = Self::starting(change).await;
        world.ready();
        world
    }

    /// A node that listens and is not ready yet.
    pub async fn starting(change: impl FnOnce(&mut Settings)) -> Self {
        Log::prepare();
        let mut settings = Settings::default();
        change(&mut settings);
        let clock = Arc::new(DrivenClock::new());
        let shared_clock: Arc<dyn Clock> = clock.clone();
        let entropy = Entropy::from_seed(7);
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("trunkline.db").display());
        let sqlite = store::open(&url, Arc::clone(&shared_clock)).unwrap();
        sqlite.migrate().await.unwrap();
        let store = Arc::new(FaultyStore::new(sqlite));
        let ledger = folder.path().join("ledger.jsonl");
        settings.simulators.ledger = Some(ledger.clone());
        let (receipts, _) = receipt_channel(&shared_clock);
        let simulators = Simulators::new(
            settings.simulators,
            &entropy,
            Arc::clone(&shared_clock),
            &receipts,
        );
        let simulators = Arc::new(simulators.unwrap());
        let simulated = simulators.providers();
        let simulators = (!simulated.is_empty()).then_some(simulators);
        let routes = Routes::new(simulated).unwrap();
        let engine = Engine::start(
            settings.engine,
            store.clone(),
            routes,
            shared_clock,
            &entropy,
            Arc::new(Metrics::new()),
            Arc::new(TokioTasks),
        );
        let receiver = Arc::<Receiver>::default();
        let bodies = Arc::new(WebhookBodies::new(&settings.server));
        engine.deliver_webhooks(receiver.clone(), bodies);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::start(listener, settings.connections, &entropy);
        let app = App::new(
            Arc::clone(&engine),
            simulators,
            settings.server,
            &entropy,
            server.draining(),
        );
        Self {
            client: Client { address },
            engine,
            clock,
            store,
            receiver,
            ledger,
            server,
            app: Some(app),
            _folder: folder,
        }
    }

    pub fn ready(&mut self) {
        self.server.ready(self.app.take().expect("it is starting"));
    }

    /// Releases or finishes the messages under way.
    pub async fn drain_engine(&self) {
        self.engine.drain(DRAIN_MAX).await;
    }

    /// Stops serving, and returns when the requests under way are answered.
    pub async fn stop(self) -> Result<(), ServeError> {
        self.stop_after(Duration::ZERO).await
    }

    /// The same, after a lame duck of this length.
    pub async fn stop_after(self, lame_duck: Duration) -> Result<(), ServeError> {
        self.server.stop(lame_duck, DRAIN_MAX).await
    }

    pub async fn get(&self, path: &str) -> Response {
        self.client.get(path).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.client.post(path, body).await
    }

    pub async fn post_with_key(&self, path: &str, key: &str, body: &Value) -> Response {
        let request = self.client.request("POST", path).json(body);
        request.header("idempotency-key", key).send().await
    }

    /// Sends a message, expects a 202, and returns the id.
    pub async fn sent(&self, body: &Value) -> String {
        let path = match body.get("type") {
            Some(_) => "/api/messages/sms",
            None => "/api/messages/email",
        };
        self.post(path, body).await.expect(202).id()
    }

    pub async fn message(&self, id: &str) -> Value {
        self.get(&format!("/api/messages/{id}")).await.expect(200).json()
    }

    /// Waits until a message has this status, and returns it.
    pub async fn until(&self, id: &str, status: &str) -> Value {
        until(&format!("{id} is {status}"), async || {
            Some(self.message(id).await).filter(|message| message["status"] == status)
        })
        .await
    }

    pub async fn messages_stored(&self) -> u64 {
        let listed = self.get("/api/messages?pageSize=1").await.expect(200).json();
        listed["meta"]["total"].as_u64().unwrap()
    }

    /// Starts a request that waits, and returns once it does.
    pub async fn waiting(&self, path: &str) -> JoinHandle<Response> {
        let before = self.metric("trunkline_waits_under_way").await;
        let (client, path) = (self.client, path.to_owned());
        let asking = tokio::spawn(async move { client.get(&path).await });
        until("the request waits", async || {
            (self.metric("trunkline_waits_under_way").await > before).then_some(())
        })
        .await;
        asking
    }

    /// A receipt for this message.
    pub async fn receipt(&self, id: &str, status: &str) {
        let receipt = json!({"message_id": id, "status": status});
        self.post("/api/webhooks/receipts", &receipt).await.expect(202);
    }

    /// The value of a metric with these labels; 0 if it is missing.
    pub async fn metric(&self, name: &str) -> f64 {
        let page = self.get("/metrics").await.expect(200);
        let value = page
            .text()
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// The numbers of the calls to a simulator, in their order.
    pub fn calls(&self, provider: &str) -> Vec<u64> {
        let ledger = std::fs::read_to_string(&self.ledger).unwrap();
        let lines = ledger
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|line| line["provider"] == provider)
            .map(|line| line["call"].as_u64().unwrap())
            .collect()
    }

    /// Configures the simulators.
    pub async fn simulate(&self, config: Value) {
        self.client
            .put("/api/provider/mock/config", &config)
            .await
            .expect(200);
    }
}

/// Waits for work that ends without further events.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(WAIT_MAX, work).await;
    done.unwrap_or_else(|_| panic!("not within {WAIT_MAX:?}: {what}"))
}

/// Polls until `look` finds something.
pub async fn until<T>(condition: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = tokio::time::timeout(WAIT_MAX, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    });
    waiting
        .await
        .unwrap_or_else(|_| panic!("not within {WAIT_MAX:?}: {condition}"))
}

pub const SHOP: &str = "+12016661234";
pub const CUSTOMER: &str = "+18045551234";

pub fn sms(body: &str) -> Value {
    json!({"from": SHOP, "to": CUSTOMER, "type": "sms", "body": body})
}

pub fn mms(body: &str, attachments: &[&str]) -> Value {
    json!({"from": SHOP, "to": CUSTOMER, "type": "mms", "body": body, "attachments": attachments})
}

pub fn email(body: &str) -> Value {
    json!({"from": "shop@example.com", "to": "customer@example.com", "subject": "Your order", "body": body})
}

/// The same message for the unified route.
pub fn unified(message: &Value) -> Value {
    let channel = message.get("type").cloned().unwrap_or_else(|| json!("email"));
    without(&with(message, "channel", channel), "type")
}

pub fn sms_webhook(id: &str, body: &str) -> Value {
    json!({
        "from": CUSTOMER, "to": SHOP, "type": "sms", "messaging_provider_id": id, "body": body,
    })
}

pub fn email_webhook(id: &str, body: &str) -> Value {
    json!({
        "from": "customer@example.com", "to": "shop@example.com", "xillio_id": id, "subject": "Re: Your order",
        "body": body,
    })
}

/// The object with another value in a field.
pub fn with(object: &Value, field: &str, value: impl Into<Value>) -> Value {
    let mut object = object.clone();
    object[field] = value.into();
    object
}

/// The object without a field.
pub fn without(object: &Value, field: &str) -> Value {
    let mut object = object.clone();
    object.as_object_mut().unwrap().remove(field);
    object
}
