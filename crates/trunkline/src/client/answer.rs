use std::{fmt, time::Duration};

use hyper::{
    HeaderMap, StatusCode,
    header::{LOCATION, RETRY_AFTER},
};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::terminal::{harmless, print_json};

#[derive(Debug)]
pub(crate) enum ApiAnswer {
    /// A success, with its JSON.
    Done(Value),
    /// Everything else.
    Refused(Box<ApiRefusal>),
}

/// An answer that is no success: of the service, or of a proxy in front of it.
#[derive(Debug, Error)]
pub(crate) struct ApiRefusal {
    pub(crate) status: StatusCode,
    /// The body, if it is a JSON object.
    pub(crate) document: Option<Value>,
    pub(crate) retry_after: Option<Duration>,
    problem: ApiProblem,
    /// Where a redirect leads.
    location: Option<String>,
}

/// The printed parts of a problem (RFC 9457).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ApiProblem {
    detail: String,
    code: String,
    request_id: String,
    errors: Vec<FieldProblem>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FieldProblem {
    pointer: String,
    detail: String,
}

impl ApiAnswer {
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let document: Option<Value> = serde_json::from_slice(body).ok();
        if status.is_success()
            && let Some(document) = document
        {
            return Self::Done(document);
        }
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let document = document.filter(Value::is_object);
        let problem = document
            .clone()
            .and_then(|document| serde_json::from_value(document).ok());
        Self::Refused(Box::new(ApiRefusal {
            status,
            problem: problem.unwrap_or_default(),
            document,
            retry_after: text(RETRY_AFTER).and_then(seconds),
            location: text(LOCATION).map(str::to_owned),
        }))
    }

    pub(crate) fn done(self) -> Result<Value, Box<ApiRefusal>> {
        match self {
            Self::Done(document) => Ok(document),
            Self::Refused(refusal) => Err(refusal),
        }
    }

    /// The document of a success. Anything else is an error; with `json` its document is printed too.
    pub(crate) fn done_or_shown(self, json: bool) -> anyhow::Result<Value> {
        self.done().map_err(|refusal| {
            if let (true, Some(document)) = (json, &refusal.document)
                && let Err(error) = print_json(document)
            {
                return error;
            }
            refusal.into()
        })
    }
}

/// `Retry-After` in seconds (RFC 9110, 10.2.3). A date, which only a proxy sends, counts as none.
fn seconds(text: &str) -> Option<Duration> {
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    digits_only
        .then(|| text.parse().ok())
        .flatten()
        .map(Duration::from_secs)
}

impl ApiRefusal {
    /// The problem's code; without one, the status.
    pub(crate) fn code(&self) -> String {
        match self.problem.code.as_str() {
            "" => self.status.as_u16().to_string(),
            code => harmless(code),
        }
    }

    /// What to do next, where the problem's detail does not say it.
    fn advice(&self) -> Option<String> {
        if let Some(location) = &self.location {
            return Some(format!(
                "It redirects to {}: use that with --url.",
                harmless(location)
            ));
        }
        match (self.status.as_u16(), self.retry_after) {
            (401, _) => Some("Set TRUNKLINE_API_KEY, or use --api-key.".to_owned()),
            (429 | 503, Some(wait)) => Some(format!("Try again in {} s.", wait.as_secs())),
            (_, _) if self.document.is_none() => {
                Some("The answer is not Trunkline's: check --url.".to_owned())
            }
            _ => None,
        }
    }
}

impl fmt::Display for ApiRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ApiProblem {
            detail,
            code: _,
            request_id,
            errors,
        } = &self.problem;
        write!(f, "{} {}", self.status.as_u16(), self.code())?;
        if !detail.is_empty() {
            write!(f, ": {}", harmless(detail))?;
        }
        for error in errors {
            write!(f, "\n  {}: {}", harmless(&error.pointer), harmless(&error.detail))?;
        }
        if let Some(advice) = self.advice() {
            write!(f, "\n{advice}")?;
        }
        if !request_id.is_empty() {
            let id = harmless(request_id);
            match self.status {
                StatusCode::INTERNAL_SERVER_ERROR => {
                    write!(f, "\nThe service's log has the cause under request id {id}.")?;
                }
                _ => write!(f, "\nRequest id: {id}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    /// Inputs for each property.
    const CASES: u32 = 500;

    fn refusal(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Box<ApiRefusal> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        let status = StatusCode::from_u16(status).unwrap();
        ApiAnswer::of(status, &headers, body.as_bytes())
            .done()
            .unwrap_err()
    }

    #[test]
    fn a_problem_is_printed_with_its_fields() {
        let body = r#"{"detail": "Not valid.", "code": "invalid", "request_id": "r1",
                       "errors": [{"pointer": "/to", "detail": "use a phone number"}]}"#;
        let printed = refusal(400, &[], body).to_string();
        let expected = "400 invalid: Not valid.\n  /to: use a phone number\n\
                        Request id: r1";
        assert_eq!(printed, expected);
        let internal = refusal(500, &[], r#"{"code": "internal", "request_id": "r2"}"#).to_string();
        assert!(
            internal.ends_with("The service's log has the cause under request id r2."),
            "{internal}"
        );
        let limited = refusal(429, &[("retry-after", "7")], r#"{"code": "rate_limited"}"#);
        assert_eq!(limited.retry_after, Some(Duration::from_secs(7)));
        assert!(limited.to_string().contains("in 7 s"), "{limited}");
        assert!(refusal(401, &[], "{}").to_string().contains("--api-key"));
    }

    #[test]
    fn an_answer_of_another_program_is_recognized() {
        for body in ["<h1>It works!</h1>", "", "7"] {
            let printed = refusal(404, &[], body).to_string();
            assert!(printed.contains("--url"), "{printed}");
        }
        // A success without JSON.
        assert!(
            refusal(200, &[], "<h1>It works!</h1>")
                .to_string()
                .contains("--url")
        );
        let moved = refusal(301, &[("location", "https://example.org/")], "");
        assert!(moved.to_string().contains("redirects"), "{moved}");
    }

    fn header() -> impl Strategy<Value = Vec<u8>> {
        let dates = "[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT";
        let text = prop_oneof![4 => "[0-9]{1,21}", 2 => "[ +-]?[0-9]{1,3}[ .s]?", 1 => dates];
        prop_oneof![4 => text.prop_map(String::into_bytes), 1 => prop::collection::vec(0x20_u8..0x7f, 0..20),
                    1 => prop::collection::vec(0x80_u8.., 1..20)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

        #[test]
        fn retry_after_is_a_number_of_seconds_or_nothing(status in 300_u16..600, header in header()) {
            let value = HeaderValue::from_bytes(&header).unwrap();
            let status = StatusCode::from_u16(status).unwrap();
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
            let refusal = ApiAnswer::of(status, &headers, b"{}").done().unwrap_err();
            let is_number = !header.is_empty() && header.iter().all(u8::is_ascii_digit);
            let number = String::from_utf8(header).ok().filter(|_| is_number).and_then(|text| text.parse::<u64>().ok());
            prop_assert_eq!(refusal.retry_after.map(|wait| wait.as_secs()), number);
            let advised = number.filter(|_| [429, 503].contains(&status.as_u16()));
            prop_assert_eq!(refusal.to_string().contains("Try again in"), advised.is_some());
        }

        #[test]
        fn an_answer_is_printed_without_control_characters(
            status in 100_u16..1_000,
            location in prop::option::of(prop::collection::vec(0x20_u8..0x7f, 0..20)),
            body in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..50),
                prop::array::uniform5("(?s).{0,8}").prop_map(|[detail, code, request_id, pointer, more]| serde_json::json!({
                    "detail": detail, "code": code, "request_id": request_id, "errors": [{"pointer": pointer, "detail": more}],
                }).to_string().into_bytes()),
                any::<i32>().prop_map(|number| serde_json::json!({"code": number, "errors": {}}).to_string().into_bytes()),
            ],
        ) {
            let location = location.map(|value| (LOCATION, HeaderValue::from_bytes(&value).unwrap()));
            let headers = HeaderMap::from_iter(location);
            let status = StatusCode::from_u16(status).unwrap();
            match ApiAnswer::of(status, &headers, &body).done() {
                Ok(document) => prop_assert_eq!(document, serde_json::from_slice::<Value>(&body).unwrap()),
                Err(refusal) => {
                    let printed = refusal.to_string();
                    prop_assert!(printed.starts_with(status.as_str()));
                    let moves = |letter: char| (letter.is_control() && letter != '\n') || ('\u{202a}'..='\u{202e}').contains(&letter);
                    prop_assert!(!printed.contains(moves), "{printed:?}");
                }
            }
        }
    }
}
