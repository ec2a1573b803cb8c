use std::{fmt, sync::Arc, time::Duration};

use anyhow::Context;
use domain::{Clock, Entropy, SystemClock};
use engine::{sign_webhook, spelled_secret, webhook_secret};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    header::{CONTENT_TYPE, USER_AGENT},
};
use serde_json::{Value, json};
use store::WebhookSecret;
use url::Url;

use crate::{
    client::{self, Api, ApiAnswer, Http},
    terminal::harmless,
};

/// How long one call may take, as for webhook endpoints.
const CALL_MAX: Duration = Duration::from_secs(15);
/// Pauses between the tries of one event.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// Bytes of an answer that are read, so that the connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Sends events to one URL, signed.
pub(super) struct Forwarder {
    target: Url,
    http: Http,
    secret: WebhookSecret,
    clock: Arc<dyn Clock>,
}

/// How an event ended.
pub(super) enum Forwarded {
    Taken { status: u16, took: Duration },
    LeftOut { reason: String },
}

impl Forwarder {
    /// With a new secret unless one is given.
    pub(super) fn new(target: &str, secret: Option<&str>) -> anyhow::Result<Self> {
        let target: Url = target
            .parse()
            .ok()
            .filter(|target: &Url| ["http", "https"].contains(&target.scheme()) && target.has_host())
            .context("--forward-to: use a URL such as http://localhost:3000/hook")?;
        let secret = match secret {
            Some(text) => {
                webhook_secret(text).context("--secret: use whsec_ and 24 to 64 bytes in Base64")?
            }
            None => WebhookSecret(Entropy::from_system().secret().into()),
        };
        Ok(Self {
            http: client::http(&target)?,
            target,
            secret,
            clock: Arc::new(SystemClock::new()),
        })
    }

    pub(super) fn target(&self) -> &str {
        self.target.as_str()
    }

    pub(super) fn secret(&self) -> String {
        spelled_secret(&self.secret)
    }

    /// Sends an event until it is taken, a few times.
    pub(super) async fn forward(&self, id: &str, body: &Bytes) -> Forwarded {
        let mut pauses = PAUSES.iter();
        loop {
            let began = self.clock.monotonic();
            let called = tokio::time::timeout(CALL_MAX, self.call(id, body)).await;
            let reason = match called {
                Ok(Ok(status)) if (200..300).contains(&status) => {
                    let took = self.clock.monotonic().saturating_sub(began);
                    return Forwarded::Taken { status, took };
                }
                Ok(Ok(status)) => status.to_string(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {CALL_MAX:?}"),
            };
            match pauses.next() {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Forwarded::LeftOut { reason },
            }
        }
    }

    /// The status of the answer. A redirect is not followed.
    async fn call(&self, id: &str, body: &Bytes) -> anyhow::Result<u16> {
        let seconds = self.clock.now().as_micros().div_euclid(1_000_000).to_string();
        let signature = sign_webhook(&self.secret, id, &seconds, body);
        let request = Request::post(self.target.as_str())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("trunkline/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signature)
            .body(Full::new(body.clone()))?;
        let answer = self.http.request(request).await;
        let answer = answer.map_err(|error| anyhow::anyhow!(client::root_cause(&error)))?;
        let status = answer.status().as_u16();
        // The status counts, whatever the body is.
        let _ = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok(status)
    }
}

impl fmt::Display for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { status, took } => write!(f, "{status} in {} ms", took.as_millis()),
            Self::LeftOut { reason } => write!(f, "left out: {}", harmless(reason)),
        }
    }
}

/// The body of a webhook with the payload `full`: the message is as it is now, or left out if it is not stored any more.
///
/// # Errors
/// When the service does not answer, with the reason.
pub(super) async fn body(api: &Api, event: &Value) -> Result<Bytes, String> {
    let mut data = event["data"].clone();
    if let Some(id) = data["message_id"].as_str() {
        let answer = api.get(&format!("/api/messages/{id}"), &[]).await;
        match answer.map_err(|error| error.to_string())? {
            ApiAnswer::Done(message) => data["message"] = message,
            ApiAnswer::Refused(refusal) if refusal.status == StatusCode::NOT_FOUND => {}
            ApiAnswer::Refused(refusal) => return Err(refusal.to_string()),
        }
    }
    let body = json!({"type": event["type"], "timestamp": event["at"], "data": data});
    Ok(Bytes::from(body.to_string()))
}
