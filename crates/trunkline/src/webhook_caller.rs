//! Calls webhook endpoints with the HTTP client.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{Clock, Timestamp};
use engine::{CallAnswer, CallError, WebhookCall, WebhookCaller};
use http_client::{
    AllowedNetworks, Client, ClientError, ClientSettings, SystemResolver, Target, retry_after,
};
use hyper::{
    HeaderMap, Method,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT},
};
use store::ANSWER_KEPT_BYTES;

/// Idle connections that are kept for each endpoint: as many as it gets calls at the same time.
const IDLE_MAX: usize = 32;
const IDLE_FOR: Duration = Duration::from_secs(30);
const AGENT: &str = concat!("Trunkline/", env!("CARGO_PKG_VERSION"));

#[derive(Debug)]
pub(crate) struct HttpCaller {
    client: Client,
    clock: Arc<dyn Clock>,
}

impl HttpCaller {
    pub(crate) fn new(networks: AllowedNetworks, clock: Arc<dyn Clock>) -> Self {
        let settings = ClientSettings {
            networks,
            idle_max: IDLE_MAX,
            idle_for: IDLE_FOR,
            answer_bytes_max: ANSWER_KEPT_BYTES,
        };
        let client = Client::new(settings, Arc::new(SystemResolver));
        Self { client, clock }
    }
}

#[async_trait]
impl WebhookCaller for HttpCaller {
    fn check(&self, url: &str) -> Result<(), String> {
        Target::parse(url).map(drop).map_err(|error| error.to_string())
    }

    async fn call(&self, call: WebhookCall) -> Result<CallAnswer, CallError> {
        let WebhookCall {
            url,
            headers,
            body,
            timeout,
        } = call;
        let target = Target::parse(&url.0).map_err(|_| CallError("invalid_url"))?;
        let mut sent = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (USER_AGENT, HeaderValue::from_static(AGENT)),
        ]);
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                sent.insert(HeaderName::from_static(name), value);
            }
        }
        let answered = self
            .client
            .call(Method::POST, target, sent, body.into(), timeout)
            .await;
        let answer = answered.map_err(|error: ClientError| CallError(error.as_str()))?;
        Ok(CallAnswer {
            status: answer.status.as_u16(),
            body: String::from_utf8_lossy(&answer.body).into(),
            retry_after: retry_after(&answer.headers, wall_clock(self.clock.now())),
        })
    }
}

fn wall_clock(now: Timestamp) -> std::time::SystemTime {
    let micros = u64::try_from(now.as_micros()).unwrap_or_default();
    std::time::SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}
