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

/// Much less than a call may take: no connection certainly means not taken.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of a response's body that are read at most.
const BODY_BYTES_MAX: usize = 16 * 1024;

#[derive(Clone)]
pub(crate) struct AcmeSettings {
    pub(crate) name: ProviderName,
    pub(crate) channels: Vec<Channel>,
    /// Of the resource that takes messages.
    pub(crate) url: Uri,
    /// Secret.
    pub(crate) key: String,
}

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

/// Without the key, which must not reach a log.
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
            Ok(response) => classify(AcmeResponse::read(response).await),
            // Without a connection, Acme has not taken the message: a later attempt may succeed.
            Err(error) if error.is_connect() => failed("acme_unreachable"),
            // The request was on its way: Acme may have taken the message.
            Err(_) => SendResult::Timeout,
        }
    }
}

/// The body of a request.
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
            // The same in each attempt of this message: Acme responds 409 to one that it has.
            .header("idempotency-key", call.message_id.to_string())
            .body(Full::from(serde_json::to_vec(&message)?))?;
        Ok(request)
    }
}

/// What matters of a response.
#[derive(Debug, Default)]
struct AcmeResponse {
    status: u16,
    retry_after: Option<Duration>,
    body: AcmeBody,
}

#[derive(Debug, Default, Deserialize)]
struct AcmeBody {
    /// Acme's id of the message it took.
    id: Option<String>,
    /// Of an error.
    code: Option<String>,
}

impl AcmeResponse {
    async fn read(response: hyper::Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let seconds = head.headers.get(header::RETRY_AFTER);
        let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
        // The status decides. A body that is cut off, endless or no JSON changes nothing.
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.ok();
        let body = body.and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
        Self {
            status: head.status.as_u16(),
            retry_after: seconds.map(Duration::from_secs),
            body: body.unwrap_or_default(),
        }
    }
}

/// The only place that knows Acme's codes.
fn classify(response: AcmeResponse) -> SendResult {
    let AcmeBody { id, code } = response.body;
    match response.status {
        // 409: Acme took it in an earlier attempt whose response was lost.
        200..=299 | 409 => SendResult::Success {
            provider_message_id: id.and_then(|id| id.parse().ok()),
        },
        429 => SendResult::RateLimited {
            retry_after: response.retry_after,
            error_code: ErrorCode::of("acme_rate_limited"),
        },
        // Wrong with this message alone: a number that does not exist, a text that Acme does not carry.
        400 | 422 => rejected(code.as_deref().unwrap_or("acme_rejected")),
        // The key or the account is wrong, not the message: it goes out once an operator has mended that.
        401..=403 => failed("acme_account"),
        // A gateway gave up waiting for Acme, which may have taken the message.
        408 | 502 | 504 => SendResult::Timeout,
        500..=599 => failed("acme_error"),
        // An unknown status says neither taken nor refused for good: another attempt is worth it.
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

    fn response(status: u16) -> AcmeResponse {
        AcmeResponse {
            status,
            ..AcmeResponse::default()
        }
    }

    fn taken(id: Option<&str>) -> SendResult {
        SendResult::Success {
            provider_message_id: id.map(|id| id.parse().unwrap()),
        }
    }

    fn rate_limited(retry_after: Option<Duration>) -> SendResult {
        SendResult::RateLimited {
            retry_after,
            error_code: ErrorCode::of("acme_rate_limited"),
        }
    }

    #[test]
    fn each_status_has_a_result() {
        let week = Some(Duration::from_secs(7 * 86_400));
        let hinted = AcmeResponse {
            retry_after: week,
            ..response(429)
        };
        let with_body = |status, id: Option<&str>, code: Option<&str>| AcmeResponse {
            body: AcmeBody {
                id: id.map(str::to_owned),
                code: code.map(str::to_owned),
            },
            ..response(status)
        };
        let cases = [
            ("taken", with_body(202, Some("a1"), None), taken(Some("a1"))),
            ("taken, without an id", response(202), taken(None)),
            ("taken earlier", response(409), taken(None)),
            ("slow down", response(429), rate_limited(None)),
            ("slow down, with a hint", hinted, rate_limited(week)),
            (
                "no such number",
                with_body(422, None, Some("Invalid-Number")),
                rejected("invalid_number"),
            ),
            ("refused without a code", response(400), rejected("acme_rejected")),
            ("wrong key", response(401), failed("acme_account")),
            ("no credit", response(402), failed("acme_account")),
            ("failed", response(500), failed("acme_error")),
            ("overloaded", response(503), failed("acme_error")),
            ("a gateway gave up", response(504), SendResult::Timeout),
            ("moved", response(302), failed("acme_unexpected_reply")),
            ("not found", response(404), failed("acme_unexpected_reply")),
        ];
        for (label, response, expected) in cases {
            assert_eq!(classify(response), expected, "{label}");
        }
    }
}
