use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::{FieldError, MessageId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{RedriveFilter, Redriven};

use super::message_id;
use crate::{
    extract::{Ask, PathId},
    json::{parse, read_body},
    problem::Problem,
};

#[derive(Serialize)]
struct RedriveResponse {
    status: &'static str,
    id: MessageId,
}

/// `POST /api/messages/{id}/redrive`
pub(crate) async fn redrive(State(app): Ask, id: PathId) -> Result<Response, Problem> {
    let id = message_id(id)?;
    match app.engine().redrive(id).await.map_err(Problem::of_redrive)? {
        Redriven::Pending => {
            let body = RedriveResponse {
                status: "accepted",
                id,
            };
            Ok((StatusCode::ACCEPTED, Json(body)).into_response())
        }
        Redriven::NotFound => Err(Problem::not_found("message")),
        Redriven::NotFailed => {
            let detail = "Only a failed message can be redriven.";
            Err(Problem::new(StatusCode::CONFLICT, "not_failed", detail))
        }
    }
}

#[derive(Deserialize)]
struct RedriveRequest {
    provider: Option<String>,
    channel: Option<String>,
    reason: Option<String>,
    failed_before: Option<String>,
}

#[derive(Serialize)]
struct RedrivenResponse {
    redriven: u64,
}

/// `POST /api/messages/redrive`
pub(crate) async fn redrive_matching(State(app): Ask, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let body = read_body(&app, &head.headers, body).await?;
    let filter = redrive_filter(parse(&body)?)?;
    let redriven = app.engine().redrive_matching(&filter).await;
    let redriven = redriven.map_err(Problem::of_redrive)?;
    Ok((StatusCode::ACCEPTED, Json(RedrivenResponse { redriven })).into_response())
}

fn redrive_filter(request: RedriveRequest) -> Result<RedriveFilter, Problem> {
    let RedriveRequest {
        provider,
        channel,
        reason,
        failed_before,
    } = request;
    let invalid = |pointer: &str, detail: String| Problem::invalid(vec![FieldError::new(pointer, detail)]);
    let instant = |text: String| {
        Timestamp::parse(&text)
            .ok_or_else(|| invalid("/failed_before", "use a time such as 2026-11-21T10:00:00Z".into()))
    };
    let filter = RedriveFilter {
        provider: word("/provider", provider)?,
        channel: word("/channel", channel)?,
        reason: word("/reason", reason)?,
        failed_before: failed_before.map(instant).transpose()?,
    };
    if filter == RedriveFilter::default() {
        let detail = "name at least one of provider, channel, reason and failed_before";
        return Err(invalid("", detail.to_owned()));
    }
    Ok(filter)
}

fn word<T: std::str::FromStr<Err: ToString>>(
    pointer: &str,
    text: Option<String>,
) -> Result<Option<T>, Problem> {
    let parsed = text.map(|text| text.parse()).transpose();
    parsed.map_err(|error: T::Err| Problem::invalid(vec![FieldError::new(pointer, error)]))
}
