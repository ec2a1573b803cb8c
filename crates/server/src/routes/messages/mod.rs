//! `/api/messages`: sending, reading, redriving.

mod read;
mod redrive;
mod send;

use axum::extract::Path;
use domain::MessageId;

use crate::{extract::PathId, problem::Problem};

pub(crate) use read::{MessageView, get, list};
pub(crate) use redrive::{redrive, redrive_matching};
pub(crate) use send::{send, send_email, send_sms};

/// An id that is none names no message.
fn message_id(id: PathId) -> Result<MessageId, Problem> {
    let id = id.ok().and_then(|Path(text)| text.parse().ok());
    id.ok_or_else(|| Problem::not_found("message"))
}
