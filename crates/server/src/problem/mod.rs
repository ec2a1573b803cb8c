//! Errors as `application/problem+json` (RFC 9457).

mod code;

use std::{fmt, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{EventId, FieldError, likely_meant, snippet};
use engine::{Limit, RateLimited, Rejection};
use resilience::rate_limit::headers::delay_seconds;
use serde::Serialize;
use store::{Outage, StoreError, Unavailable};

pub(crate) use code::Code;

/// `Retry-After` of an outage of the store and of a full queue.
const BACK_SOON: Duration = Duration::from_secs(1);
/// How much of an unknown name is repeated in the answer.
const UNKNOWN_NAME_GRAPHEMES: usize = 64;

#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    /// What happened and what to do, in words.
    pub(crate) detail: String,
    pub(crate) errors: Vec<FieldError>,
    /// Whether `errors` contains names from the client, which must not reach the log.
    pub(crate) names_unknown: bool,
    retry_after: Option<Duration>,
}

/// The body of a problem.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            names_unknown: false,
            retry_after: None,
        }
    }

    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = "The request is not valid: see errors for what to change.";
        Self {
            errors,
            ..Self::new(Code::Invalid, detail)
        }
    }

    /// Errors that include unknown fields or parameters.
    pub(crate) fn unknown_names(errors: Vec<FieldError>) -> Self {
        Self {
            names_unknown: true,
            ..Self::invalid(errors)
        }
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("There is no such {what}: check the id."))
    }

    pub(crate) fn no_such_route(path: &str) -> Self {
        let detail = match path {
            "/" => "The API is below /api: see /docs.",
            _ if path.ends_with('/') => "No path ends with a slash: leave it out.",
            _ => "There is no such route: see /docs for those there are.",
        };
        Self::new(Code::NotFound, detail)
    }

    pub(crate) fn unauthorized() -> Self {
        let detail = "Send one of the API keys as Authorization: Bearer KEY.";
        Self::new(Code::Unauthorized, detail)
    }

    pub(crate) fn rate_limited(refused: RateLimited) -> Self {
        let (source, setting) = match refused.limit {
            Limit::Ip => ("address", "API_RATE_LIMIT_PER_IP_PER_MIN"),
            Limit::Sender => ("sender", "API_RATE_LIMIT_PER_SENDER_PER_MIN"),
            Limit::WebhookIp => ("address", "API_RATE_LIMIT_WEBHOOK_PER_IP_PER_MIN"),
        };
        let detail = format!(
            "Too many requests from this {source} ({setting}). Try again after the time in Retry-After."
        );
        Self {
            retry_after: Some(refused.retry_after),
            ..Self::new(Code::RateLimited, detail)
        }
    }

    pub(crate) fn overloaded() -> Self {
        let detail = "This node has too much to do. Nothing of this request was stored: try again after the time in \
                      Retry-After, or ask another node.";
        Self::passing(Code::Overloaded, detail)
    }

    pub(crate) fn too_many_waits() -> Self {
        let detail = "Too many requests and streams wait on this node. Try again after the time in Retry-After, or ask \
                      another node.";
        Self::passing(Code::Overloaded, detail)
    }

    /// An outage that stored nothing of a send or an inbound message.
    pub(crate) fn store_unavailable(outage: Outage) -> Self {
        let detail = format!(
            "{} Nothing of this request was stored: try again after the time in Retry-After.",
            what_happened(outage)
        );
        Self::passing(Code::StoreUnavailable, detail)
    }

    pub(crate) fn outcome_unknown() -> Self {
        Self::passing(
            Code::OutcomeUnknown,
            "The database did not answer whether it stored this message. Try again with the same Idempotency-Key, or \
             the same provider message id: if the message is stored, you get its id.",
        )
    }

    pub(crate) fn of_cancel(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Unavailable(outage) => {
                let detail = format!(
                    "{} The message is not canceled: try again after the time in Retry-After.",
                    what_happened(outage)
                );
                Self::passing(Code::StoreUnavailable, detail)
            }
            Rejection::OutcomeUnknown => {
                let detail = "The database did not answer whether it canceled this message. Try again: a repeat gets the \
                              same answer.";
                Self::passing(Code::OutcomeUnknown, detail)
            }
            Rejection::Overloaded | Rejection::Refused => rejection.into(),
        }
    }

    pub(crate) fn of_redrive(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(Unavailable { outage, reason }) => {
                tracing::warn!(
                    reason,
                    "a redrive failed: the database is unavailable, and the client gets 503"
                );
                let detail = format!(
                    "{} Try again after the time in Retry-After: what is redriven already stays pending.",
                    what_happened(outage)
                );
                Self::passing(Code::StoreUnavailable, detail)
            }
            StoreError::OutcomeUnknown(reason) => {
                tracing::warn!(
                    reason,
                    "a redrive got no answer: it may be done, and the client gets 503 outcome_unknown"
                );
                let detail = "The database did not answer whether it redrove this. Try again: only failed messages are \
                              redriven.";
                Self::passing(Code::OutcomeUnknown, detail)
            }
            refused @ StoreError::Refused(_) => refused.into(),
        }
    }

    pub(crate) fn events_expired(oldest: EventId) -> Self {
        let detail = format!(
            "Events after this place are deleted. Those that are kept follow {oldest}: use it as after, or after=oldest."
        );
        Self::new(Code::EventsExpired, detail)
    }

    pub(crate) fn starting() -> Self {
        let detail = "This node is starting and waits for its database. Try again after the time in Retry-After, or ask \
                      another node.";
        Self::passing(Code::Starting, detail)
    }

    pub(crate) fn draining() -> Self {
        Self::passing(Code::Draining, "This node is shutting down. Ask another node.")
    }

    pub(crate) fn no_provider() -> Self {
        let detail = "No provider serves this channel, or no route fits the addresses. Nothing was stored. Ask the operator to \
             configure one.";
        Self::new(Code::NoProvider, detail)
    }

    /// An answer that cannot be written.
    pub(crate) fn bug(error: &dyn fmt::Display) -> Self {
        tracing::error!(%error, "an answer cannot be written, which is a bug: the client gets 500");
        Self::internal()
    }

    /// The caller has logged the cause within the request's span.
    pub(crate) fn internal() -> Self {
        let detail =
            "An internal error. Give the operator the request_id: the service's log has the cause under it.";
        Self::new(Code::Internal, detail)
    }

    pub(crate) fn write_body(&self, instance: &str, request_id: &str) -> Vec<u8> {
        let document = Document {
            r#type: format!("urn:trunkline:problem:{}", self.code.as_str()),
            title: self.code.status().canonical_reason().unwrap_or("Error"),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            instance,
            code: self.code.as_str(),
            request_id,
            errors: &self.errors,
        };
        serde_json::to_vec(&document).unwrap_or_default()
    }

    fn passing(code: Code, detail: impl Into<String>) -> Self {
        Self {
            retry_after: Some(BACK_SOON),
            ..Self::new(code, detail)
        }
    }
}

impl IntoResponse for Problem {
    /// Without the body: `telemetry` writes it, because it needs the request's id and path.
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        if let Some(retry_after) = self.retry_after {
            let seconds = HeaderValue::from(delay_seconds(retry_after).max(1));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        // RFC 9110, 15.5.2.
        if response.status() == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Overloaded => Self::overloaded(),
            Rejection::Unavailable(outage) => Self::store_unavailable(outage),
            Rejection::OutcomeUnknown => Self::outcome_unknown(),
            Rejection::Refused => Self::internal(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let outage = match error {
            StoreError::Unavailable(Unavailable { outage, reason }) => {
                tracing::warn!(reason, "the database is unavailable: the client gets 503");
                outage
            }
            StoreError::OutcomeUnknown(reason) => {
                tracing::warn!(reason, "the database does not answer: the client gets 503");
                Outage::Slow
            }
            StoreError::Refused(reason) => {
                tracing::error!(reason, "the database refuses a query: the client gets 500");
                return Self::internal();
            }
        };
        let detail = format!(
            "{} Try again after the time in Retry-After.",
            what_happened(outage)
        );
        Self::passing(Code::StoreUnavailable, detail)
    }
}

fn what_happened(outage: Outage) -> &'static str {
    match outage {
        Outage::Away => "The database cannot be reached.",
        Outage::Slow => "The database did not answer in time.",
        Outage::Busy => "The database is busy.",
        Outage::ReadOnly => "The database is read-only.",
        Outage::Full => "The disk of the database is full.",
        Outage::Locked => "The database is locked by another program.",
    }
}

/// An unknown name, cut to a bounded length, and what to use instead.
pub(crate) fn unknown_name<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> (String, String) {
    let detail = match likely_meant(name, known.clone()) {
        Some(likely) => format!("is unknown: did you mean {likely}?"),
        None => match known.collect::<Vec<_>>()[..] {
            [] => "is unknown: leave it out".to_owned(),
            ref known => format!("is unknown: known are {}", known.join(", ")),
        },
    };
    (snippet(name, UNKNOWN_NAME_GRAPHEMES), detail)
}
