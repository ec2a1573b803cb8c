use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    follow::Event,
    wait::{SOON, until},
};

/// Receives webhooks, and answers as its test wants. It ends with its last handle.
pub(crate) struct Receiver {
    pub(crate) url: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    reply: Box<dyn Fn(&Event) -> Reply + Send + Sync>,
    healed: AtomicBool,
    calls: Mutex<Vec<WebhookCall>>,
}

/// What a receiver answers.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) after: Duration,
    /// Where a redirect leads.
    pub(crate) location: Option<String>,
}

/// A webhook that a receiver got.
#[derive(Debug, Clone)]
pub(crate) struct WebhookCall {
    pub(crate) event: Event,
    pub(crate) path: String,
    pub(crate) status: u16,
}

impl Reply {
    pub(crate) fn of(status: u16) -> Self {
        Self {
            status,
            after: Duration::ZERO,
            location: None,
        }
    }
}

impl WebhookCall {
    pub(crate) fn is_taken(&self) -> bool {
        self.status < 300
    }
}

impl Receiver {
    /// On a free port.
    pub(crate) async fn start(reply: impl Fn(&Event) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), reply).await
    }

    pub(crate) async fn start_at(
        address: SocketAddr,
        reply: impl Fn(&Event) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            reply: Box::new(reply),
            healed: AtomicBool::new(false),
            calls: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self {
            url,
            shared,
            accepting,
        }
    }

    /// From now on it takes everything at once.
    pub(crate) fn heal(&self) {
        self.shared.healed.store(true, Ordering::Relaxed);
    }

    /// What it got, in the order of its answers.
    pub(crate) fn calls(&self) -> Vec<WebhookCall> {
        self.shared.calls.lock().clone()
    }

    /// Waits until it has taken at least so many calls.
    pub(crate) async fn until_taken(&self, calls: usize) {
        until(&format!("{calls} webhooks are taken"), SOON, async || {
            let taken = self.calls().iter().filter(|call| call.is_taken()).count();
            (taken >= calls).then_some(())
        })
        .await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((connection, _)) = listener.accept().await else {
            continue;
        };
        let shared = Arc::clone(&shared);
        let answer = service_fn(move |request| answer(request, Arc::clone(&shared)));
        // An error is the end of the connection.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), answer));
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut json: Value = serde_json::from_slice(&body).unwrap();
    json["id"] = head.headers["webhook-id"].to_str().unwrap().into();
    let event = Event::of(&json);
    let reply = match shared.healed.load(Ordering::Relaxed) {
        true => Reply::of(200),
        false => (shared.reply)(&event),
    };
    tokio::time::sleep(reply.after).await;
    shared.calls.lock().push(WebhookCall {
        event,
        path: head.uri.path().to_owned(),
        status: reply.status,
    });
    let mut response = Response::builder().status(reply.status);
    if let Some(location) = reply.location {
        response = response.header("location", location);
    }
    Ok(response.body(Empty::new()).unwrap())
}
