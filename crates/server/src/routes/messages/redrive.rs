use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::{FieldError, MessageId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{RedriveFilter, Redriven};
use utoipa::ToSchema;

use crate::{
    extract::{self, AppState, PathId},
    json::{parse, read_body, read_nothing},
    openapi::{
        enums,
        problems::{RedriveErrors, RedriveManyErrors},
        schemas,
    },
    problem::{Code, Problem},
    telemetry,
};

/// A redriven message.
#[derive(Serialize, ToSchema)]
struct RedriveResponse {
    /// Always `accepted`.
    #[schema(pattern = "^accepted$", example = "accepted")]
    status: &'static str,
    #[schema(value_type = schemas::MessageId)]
    id: MessageId,
}

/// Try a failed message again
///
/// It becomes pending, with the attempts and the time of a new message. The request needs no body.
#[utoipa::path(
    post, path = "/api/messages/{id}/redrive", operation_id = "redriveMessage", tag = "Redrive",
    params(("id" = schemas::MessageId, Path, description = "The message's id")),
    responses((status = 202, body = RedriveResponse, description = "The message is pending again."), RedriveErrors),
)]
pub(crate) async fn redrive(State(app): AppState, id: PathId, request: Request) -> Result<Response, Problem> {
    let id = extract::id(id, "message")?;
    telemetry::record_message(id, None);
    read_nothing(&app, request).await?;
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
            let detail = "Only a failed message can be redriven: GET /api/messages/{id} shows its status.";
            Err(Problem::new(Code::NotFailed, detail))
        }
    }
}

/// A filter of failed messages: all given fields must match.
#[derive(Deserialize, ToSchema)]
struct RedriveRequest {
    #[schema(value_type = Option<schemas::ProviderName>)]
    provider: Option<String>,
    #[schema(value_type = Option<enums::Channel>)]
    channel: Option<String>,
    #[schema(value_type = Option<enums::FailureReason>)]
    reason: Option<String>,
    /// Only messages that failed before this instant.
    #[schema(value_type = Option<schemas::Timestamp>)]
    failed_before: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct RedrivenResponse {
    #[schema(value_type = schemas::Count, example = 3)]
    redriven: u64,
}

/// Try many failed messages again
///
/// Those that match all given fields. At least one field is required.
#[utoipa::path(
    post, path = "/api/messages/redrive", operation_id = "redriveMessages", tag = "Redrive",
    request_body(
        content = RedriveRequest,
        examples(
            ("provider" = (value = json!({"provider": "sms-mms", "reason": "exhausted"}))),
            ("time" = (value = json!({"failed_before": "2026-11-21T10:00:00Z"}))),
        ),
    ),
    responses((status = 202, body = RedrivenResponse, description = "The number of messages that are pending again."), RedriveManyErrors),
)]
pub(crate) async fn redrive_matching(State(app): AppState, request: Request) -> Result<Response, Problem> {
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
