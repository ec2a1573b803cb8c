//! `/api/messages`: sending, reading, redriving.

pub(crate) mod read;
pub(crate) mod redrive;
pub(crate) mod send;

use axum::extract::Path;
use domain::MessageId;

use crate::{extract::PathId, problem::Problem};

/// An id that is none names no message.
fn message_id(id: PathId) -> Result<MessageId, Problem> {
    let id = id.ok().and_then(|Path(text)| text.parse().ok());
    id.ok_or_else(|| Problem::not_found("message"))
}
