//! Acme carries text messages: one call is one request to its HTTP API.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use domain::{Channel, ErrorCode, ProviderName};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Uri,
    body::{Bytes, Incoming},
    header,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, Serialize};

use trunkline_providers::{Call, Provider, SendResult};

/// How long a connection may take. Much less than a call: who cannot be reached has taken nothing, and that is worth knowing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read at most.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Where Acme is, and who we are to it.
#[derive(Clone)]
pub(crate) struct AcmeSettings {
    pub(crate) name: ProviderName,
    pub(crate) channels: Vec<Channel>,
    /// Of the resource that takes messages.
    pub(crate) url: Uri,
    /// Secret.
    pub(crate) key: String,
}

/// Acme, as the engine sees it.
pub(crate) struct Acme {
    settings: AcmeSettings,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Acme {
    pub(crate) fn new(settings: AcmeSettings) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self {
            settings,
            client: Client::builder(TokioExecutor::new()).build(connector),
        }
    }
}

impl fmt::Debug for Acme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acme")
    }
}

#[async_trait]
impl Provider for Acme {
    fn name(&self) -> &ProviderName {
        &self.settings.name
    }

    fn channels(&self) -> &[Channel] {
        &self.settings.channels
    }

    async fn send(&self, call: Call<'_>) -> SendResult {
        let request = match self.request(&call) {
            Ok(request) => request,
            Err(_) => return rejected("acme_request_impossible"),
        };
        match self.client.request(request).await {
            Ok(response) => classify(&AcmeResponse::read(response).await),
            // Nobody was there, so nobody has taken it: an error, which a later try may mend …
            Err(error) if error.is_connect() => failed("acme_unreachable"),
            // … but who falls silent after the request was on its way may have taken it.
            Err(_) => SendResult::Timeout,
        }
    }
}

/// A message in Acme's words.
#[derive(Serialize)]
struct AcmeMessage<'a> {
    from: &'a str,
    to: &'a str,
    text: &'a str,
    media_urls: &'a [String],
}

impl Acme {
    fn request(&self, call: &Call<'_>) -> Result<Request<Full<Bytes>>, Box<dyn std::error::Error>> {
        let message = AcmeMessage {
            from: call.content.from.as_str(),
            to: call.content.to.as_str(),
            text: call.content.body.as_str(),
            media_urls: call.content.attachments.as_slice(),
        };
        let request = Request::post(&self.settings.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.settings.key))
            // The same in every try of this message: Acme answers 409 to one it has already.
            .header("idempotency-key", call.message_id.to_string())
            .body(Full::from(serde_json::to_vec(&message)?))?;
        Ok(request)
    }
}

/// What Acme said, as far as it matters.
#[derive(Debug, Default)]
struct AcmeResponse {
    status: u16,
    retry_after: Option<Duration>,
    code: Option<String>,
}

/// What Acme says about an error.
#[derive(Deserialize)]
struct AcmeError {
    code: String,
}

impl AcmeResponse {
    async fn read(response: hyper::Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let seconds = head.headers.get(header::RETRY_AFTER);
        let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
        // The status says it all but the reason: a body that is cut off, endless or no JSON changes no verdict.
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let error = body
            .ok()
            .and_then(|body| serde_json::from_slice::<AcmeError>(&body.to_bytes()).ok());
        Self {
            status: head.status.as_u16(),
            retry_after: seconds.map(Duration::from_secs),
            code: error.map(|error| error.code),
        }
    }
}

/// What a reply means. Nothing else in Trunkline knows Acme's codes.
fn classify(reply: &AcmeResponse) -> SendResult {
    match reply.status {
        200..=299 => SendResult::Success {
            provider_message_id: None,
        },
        // It has this message already, from a try whose answer we never heard.
        409 => SendResult::Success {
            provider_message_id: None,
        },
        429 => SendResult::RateLimited {
            retry_after: reply.retry_after,
            error_code: ErrorCode::of("acme_rate_limited"),
        },
        // This message, and no other, will never do: a number that does not exist, a text it does not carry.
        400 | 422 => rejected(reply.code.as_deref().unwrap_or("acme_rejected")),
        // Our key or our account: the message is fine, and goes out once somebody has seen to it.
        401..=403 => failed("acme_account"),
        // A gateway that gave up waiting for Acme does not know whether Acme took it.
        408 | 502 | 504 => SendResult::Timeout,
        500..=599 => failed("acme_error"),
        // Not understood is neither taken nor refused for good: it is worth another try.
        _ => failed("acme_unexpected_reply"),
    }
}

fn rejected(code: &str) -> SendResult {
    SendResult::Rejected {
        error_code: ErrorCode::from_provider(code),
    }
}

fn failed(code: &'static str) -> SendResult {
    SendResult::Error {
        error_code: ErrorCode::of(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16) -> AcmeResponse {
        AcmeResponse {
            status,
            ..AcmeResponse::default()
        }
    }

    fn rate_limited(retry_after: Option<Duration>) -> SendResult {
        SendResult::RateLimited {
            retry_after,
            error_code: ErrorCode::of("acme_rate_limited"),
        }
    }

    #[test]
    fn every_reply_has_a_meaning() {
        let week = Some(Duration::from_secs(7 * 86_400));
        let hinted = AcmeResponse {
            retry_after: week,
            ..reply(429)
        };
        let no_number = AcmeResponse {
            code: Some("Invalid-Number".to_owned()),
            ..reply(422)
        };
        let cases = [
            (
                "taken",
                reply(202),
                SendResult::Success {
                    provider_message_id: None,
                },
            ),
            (
                "taken earlier",
                reply(409),
                SendResult::Success {
                    provider_message_id: None,
                },
            ),
            ("slow down", reply(429), rate_limited(None)),
            ("slow down, with a hint", hinted, rate_limited(week)),
            ("no such number", no_number, rejected("invalid_number")),
            ("refused without a reason", reply(400), rejected("acme_rejected")),
            ("our key is wrong", reply(401), failed("acme_account")),
            ("no money left", reply(402), failed("acme_account")),
            ("failed", reply(500), failed("acme_error")),
            ("overloaded", reply(503), failed("acme_error")),
            ("the gateway gave up", reply(504), SendResult::Timeout),
            ("moved", reply(302), failed("acme_unexpected_reply")),
            ("gone", reply(404), failed("acme_unexpected_reply")),
        ];
        for (label, reply, expected) in cases {
            assert_eq!(classify(&reply), expected, "{label}");
        }
    }
}
