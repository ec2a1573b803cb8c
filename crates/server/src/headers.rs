use axum::{extract::Request, http::HeaderMap};

use crate::problem::{Code, Problem};

/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// Bytes of a request's target and headers.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Per header on the wire, beside name and value: `: ` and the line end.
const BYTES_AROUND: usize = 4;

/// Refuses requests with too many or too long headers. The limits of the socket are a little higher: beyond those, hyper
/// answers a bare 431.
pub(crate) fn check(request: &Request) -> Result<(), Problem> {
    let target = request
        .uri()
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if request.headers().len() <= HEADERS_MAX && target + bytes(request.headers()) <= HEADER_BYTES_MAX {
        return Ok(());
    }
    let detail = format!("Send at most {HEADERS_MAX} headers, with {HEADER_BYTES_MAX} bytes in all.");
    Err(Problem::new(Code::HeadersTooLarge, detail))
}

fn bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + BYTES_AROUND)
        .sum()
}
