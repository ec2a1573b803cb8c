//! A node on a real socket and the in-memory store, for the targets that make requests. It is replaced now and then, since the
//! store keeps what it accepted.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use domain::{Clock, DraftRules, Entropy, SystemClock};
use engine::{DispatchSettings, Engine, EngineSettings, LaneSettings, LimitSettings, Metrics, TokioTasks};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
    body::{Bytes, Incoming},
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use providers::{
    Routes,
    simulator::{SimulatorSettings, Simulators, receipt_channel},
};
use resilience::{Backoff, BreakerSettings};
use server::{App, ConnectionSettings, Server, ServerSettings};
use store::Deadlines;
use store_model::Memory;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

/// Requests before the next node.
const REQUESTS_MAX: u32 = 2_000;
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// A node and the connection to it.
pub struct Node {
    runtime: Runtime,
    address: SocketAddr,
    connection: Option<SendRequest<Full<Bytes>>>,
    requests: u32,
    _server: Server,
}

/// The answer.
pub struct Answer {
    pub status: u16,
    pub content_type: Option<String>,
    pub body: Bytes,
}

impl Node {
    /// A node with some messages to read.
    pub fn new() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let (address, server) = runtime.block_on(start());
        let mut node = Self {
            runtime,
            address,
            connection: None,
            requests: 0,
            _server: server,
        };
        for to in ["+18045551234", "+18045551235", "+18045551235"] {
            let body = format!(r#"{{"channel": "sms", "from": "Acme", "to": "{to}", "body": "Hello!"}}"#);
            let request = Request::post("/api/messages")
                .header("host", "fuzz.test")
                .header("content-type", "application/json")
                .body(Full::from(Bytes::from(body)));
            node.ask(request.expect("a request")).is_one_of(&[202], &[]);
        }
        node
    }

    /// Makes a request, on one connection as long as it lasts.
    pub fn ask(&mut self, request: Request<Full<Bytes>>) -> Answer {
        self.age();
        let (address, held) = (self.address, self.connection.take());
        let exchange = async {
            let mut connection = match held {
                Some(connection) if !connection.is_closed() => connection,
                _ => connect(address).await,
            };
            let response = connection.send_request(request).await.expect("an answer");
            let answer = read(response).await;
            // Not ready means that the node closes it, as it may.
            let goes_on = connection.ready().await.is_ok();
            (answer, goes_on.then_some(connection))
        };
        let exchange = async { tokio::time::timeout(ANSWER_MAX, exchange).await };
        let (answer, connection) = self.runtime.block_on(exchange).expect("an answer in time");
        self.connection = connection;
        answer
    }

    /// Sends bytes on a connection of their own, and returns all bytes of the answer.
    pub fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.age();
        let address = self.address;
        let exchange = async {
            let mut socket = TcpStream::connect(address).await.expect("a connection");
            let mut answer = Vec::new();
            // The node may close the connection at any time, and then there is no more to read.
            let _ = socket.write_all(bytes).await;
            let _ = socket.shutdown().await;
            let _ = socket.read_to_end(&mut answer).await;
            answer
        };
        let exchange = async { tokio::time::timeout(ANSWER_MAX, exchange).await };
        self.runtime.block_on(exchange).expect("an answer in time")
    }

    fn age(&mut self) {
        self.requests += 1;
        if self.requests > REQUESTS_MAX {
            *self = Self::new();
        }
    }
}

impl Answer {
    /// Checks what every answer must have: JSON, and a problem with its code after an error.
    pub fn is_one_of(&self, statuses: &[u16], codes: &[&str]) {
        let shown = String::from_utf8_lossy(&self.body);
        assert!(statuses.contains(&self.status), "{} {shown}", self.status);
        let body: serde_json::Value = serde_json::from_slice(&self.body).expect("it is JSON");
        if self.status >= 400 {
            assert_eq!(self.content_type.as_deref(), Some("application/problem+json"));
            let code = body["code"].as_str().expect("it has a code");
            assert!(codes.contains(&code), "{shown}");
            assert_eq!(body["status"], self.status);
            assert!(
                code != "invalid" || body["errors"][0]["pointer"].is_string(),
                "{shown}"
            );
        }
    }
}

async fn connect(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let socket = TcpStream::connect(address).await.expect("a connection");
    let (sender, connection) = handshake(TokioIo::new(socket)).await.expect("a connection");
    // Errors in it show in the answer.
    tokio::spawn(async move { drop(connection.await) });
    sender
}

async fn read(response: hyper::Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let content_type = head.headers.get("content-type");
    Answer {
        status: head.status.as_u16(),
        content_type: content_type.and_then(|value| value.to_str().ok().map(str::to_owned)),
        body: body.collect().await.expect("a whole answer").to_bytes(),
    }
}

async fn start() -> (SocketAddr, Server) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let entropy = Entropy::from_seed(7);
    // Receipts come from requests here.
    let (receipts, _) = receipt_channel(&clock);
    let simulators = Simulators::new(
        SimulatorSettings::default(),
        &entropy,
        Arc::clone(&clock),
        &receipts,
    );
    let simulators = simulators.expect("simulators");
    let simulators = Arc::new(simulators);
    let engine = Engine::start(
        settings(),
        Arc::new(Memory::new(Arc::clone(&clock))),
        Routes::new(simulators.providers()).expect("routes"),
        clock,
        &entropy,
        Arc::new(Metrics::new()),
        Arc::new(TokioTasks),
    );
    let settings = ServerSettings {
        body_bytes_max: 262_144,
        snippet_graphemes: 64,
        drafts: DraftRules {
            default_region: "US".parse().ok(),
            attachments_max: 10,
        },
        api_keys: None,
        allowed_hosts: None,
        trusted_proxies: vec!["127.0.0.0/8".parse().expect("a network")],
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = listener.local_addr().expect("an address");
    let connections = ConnectionSettings {
        idle_timeout: ANSWER_MAX,
        per_address_max: 1_024,
        trusted_proxies: Vec::new(),
    };
    let server = Server::start(listener, connections, &entropy);
    let app = App::new(engine, Some(simulators), settings, &entropy, server.draining());
    server.ready(app);
    (address, server)
}

fn settings() -> EngineSettings {
    EngineSettings {
        deadlines: Deadlines {
            sms: Duration::from_secs(14_400),
            email: Duration::from_secs(172_800),
        },
        idempotency_ttl: Duration::from_secs(86_400),
        events_retention: Duration::from_secs(604_800),
        commit_batch_max: 512,
        commit_queue_max: 4_096,
        limits: LimitSettings {
            per_ip: None,
            per_sender: None,
            webhook_per_ip: None,
        },
        dispatch: DispatchSettings {
            batch_messages_max: 100,
            poll: Duration::from_millis(250),
            lease: Duration::from_secs(60),
            attempts_max: 12,
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(900)).expect("a backoff"),
            lane: LaneSettings {
                concurrency: 8,
                call_timeout: Duration::from_secs(5),
                has_breaker: true,
                breaker: BreakerSettings {
                    error_threshold: 5,
                    open: Duration::from_secs(30),
                    max_open: Duration::from_secs(300),
                    half_open_samples: 3,
                    half_open_in_flight: 2,
                },
            },
            lanes: BTreeMap::new(),
            default_region: None,
        },
    }
}
