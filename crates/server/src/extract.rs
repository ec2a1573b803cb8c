//! What handlers extract from a request.

use std::str::FromStr;

use axum::extract::{Path, State, rejection::PathRejection};

use crate::{App, problem::Problem};

pub(crate) type AppState = State<App>;

/// An id in a path; the error is a path that is not UTF-8.
pub(crate) type PathId = Result<Path<String>, PathRejection>;

/// # Errors
/// 404 for a text that is not an id: it names nothing.
pub(crate) fn id<T: FromStr>(path: PathId, what: &str) -> Result<T, Problem> {
    let id = path.ok().and_then(|Path(text)| text.parse().ok());
    id.ok_or_else(|| Problem::not_found(what))
}
