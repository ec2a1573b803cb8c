mod strict;

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, header},
};
use domain::FieldError;
use http_body_util::{BodyExt, Limited};
use hyper::body::Buf;
use serde::de::DeserializeOwned;

pub(crate) use strict::escaped;

use crate::{
    App,
    problem::{Code, Problem},
};

const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Some programs write it before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The deepest nesting of objects and arrays.
const DEPTH_MAX: usize = 128;

/// Reads a JSON body, bounded in size and in time.
pub(crate) async fn read_body(app: &App, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    if !is_json(headers) {
        let detail = "Send the body as JSON, with Content-Type: application/json.";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    if is_encoded(headers) {
        let detail = "Send the body without a Content-Encoding.";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    let too_large = || {
        let detail = format!(
            "The body may have {} bytes at most (API_MAX_BODY_BYTES): send less.",
            app.settings().body_bytes_max
        );
        Problem::new(Code::BodyTooLarge, detail)
    };
    // Before the first read, which asks a client for the body that waits for `100 Continue`.
    if hyper::body::Body::size_hint(&body).lower() > app.settings().body_bytes_max as u64 {
        return Err(too_large());
    }
    let limited = Limited::new(body, app.settings().body_bytes_max);
    match tokio::time::timeout(BODY_TIMEOUT, limited.collect()).await {
        Err(_) => {
            let detail = "The body did not arrive within 5 s. Nothing of this request was stored: try again.";
            Err(Problem::new(Code::RequestTimeout, detail))
        }
        Ok(Ok(collected)) => {
            let mut body = collected.to_bytes();
            if body.starts_with(BYTE_ORDER_MARK) {
                body.advance(BYTE_ORDER_MARK.len());
            }
            Ok(body)
        }
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::invalid(vec![FieldError::new(
            "",
            "the body ended before it was complete",
        )])),
    }
}

/// The body of a route that needs none: nothing, or an object without fields.
#[derive(serde::Deserialize)]
struct NoFields {}

/// Refuses a body that says something.
pub(crate) async fn read_nothing(app: &App, request: Request) -> Result<(), Problem> {
    let (head, body) = request.into_parts();
    if !hyper::body::Body::is_end_stream(&body) {
        parse::<NoFields>(&read_body(app, &head.headers, body).await?)?;
    }
    Ok(())
}

/// Parses a JSON object of bounded depth. Reports all unknown fields at once, and the first value that does not fit.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let (result, mut errors) = read(body)?;
    match result {
        Ok(value) if errors.is_empty() => Ok(value),
        Ok(_) => Err(Problem::unknown_names(errors)),
        Err(error) => {
            errors.insert(0, error);
            Err(Problem::unknown_names(errors))
        }
    }
}

/// The same, but ignores unknown fields, and takes a text that was cut within an emoji.
pub(crate) fn parse_lenient<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let (mut result, _) = read(body)?;
    if result.is_err()
        && let Some(repaired) = without_lone_surrogates(body)
    {
        result = read(&repaired)?.0;
    }
    result.map_err(|error| Problem::invalid(vec![error]))
}

/// Replaces each half of an escaped surrogate pair that stands alone, such as `\ud83d`, by the replacement character. `None`
/// if there is none.
fn without_lone_surrogates(json: &[u8]) -> Option<Vec<u8>> {
    let unit = |at: usize| {
        let digits = json.get(at..at + 6)?.strip_prefix(br"\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut repaired = json.to_vec();
    let mut changed = false;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        at += match (byte, unit(at)) {
            (b'\\', Some(0xd800..=0xdbff)) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => 12,
            (b'\\', Some(0xd800..=0xdfff)) => {
                repaired[at + 2..at + 6].copy_from_slice(b"fffd");
                changed = true;
                6
            }
            (b'\\', _) => 2,
            _ => 1,
        };
    }
    changed.then_some(repaired)
}

/// The value or its first error, and the unknown fields.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<(Result<T, FieldError>, Vec<FieldError>), Problem> {
    let invalid = |detail: String| Err(Problem::invalid(vec![FieldError::new("", detail)]));
    // serde would also take an array of the fields' values.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return invalid("use a JSON object".to_owned());
    }
    if is_too_deep(body) {
        return invalid(format!("nest objects and arrays {DEPTH_MAX} deep at most"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let (result, findings) = strict::read(&mut deserializer);
    let result = result.and_then(|value| deserializer.end().map(|()| value));
    Ok((
        result.map_err(|error| FieldError::new(findings.failed_at, detail(&error))),
        findings.unknown,
    ))
}

/// What to write instead. serde repeats the value that does not fit, which may be an address or a text.
fn detail(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if !error.is_data() {
        return text;
    }
    // The pointer says where.
    let text = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(text, _)| text);
    match text.rsplit_once(", expected ") {
        Some((_, "a sequence")) => "use an array".to_owned(),
        Some((_, expected)) if expected == "a map" || expected.starts_with("struct ") => {
            "use an object".to_owned()
        }
        Some((_, expected)) if expected.starts_with('u') => "use a whole number, 0 or more".to_owned(),
        Some((_, expected)) => format!("use {expected}"),
        None => text.to_owned(),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// Whether the body has a content coding (RFC 9110, 8.4).
fn is_encoded(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    codings
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// serde_json bounds the depth of what it keeps, but not of fields that it skips.
fn is_too_deep(json: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    json.iter().any(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > DEPTH_MAX
    })
}
