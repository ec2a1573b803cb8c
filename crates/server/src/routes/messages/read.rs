use std::collections::BTreeMap;

use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::{PAGE_BYTES_MAX, PageRequest};
use store::MessageFilter;

use super::view::{MessageDetailView, MessageView};
use crate::{
    App,
    extract::{self, AppState, PathId},
    openapi::{
        enums,
        problems::{ListErrors, ReadErrors},
        schemas,
    },
    problem::Problem,
    routes::listing::{Envelope, ListingParameters, Paging, answer},
};

/// Bytes of a message in an answer, beside its content: ids, times, attempts.
const DETAIL_BYTES: usize = 4 * 1024;
/// Bytes reserved for a page of messages: what is read, and what is written of it. There is room for eight pages, as many as
/// the store reads concurrently. A page that needs more gets it, or is refused.
const PAGE_BYTES: usize = 2 * PAGE_BYTES_MAX;

/// Read a message
///
/// With its attempts and receipts and, while it waits, the reason.
#[utoipa::path(
    get, path = "/api/messages/{id}", operation_id = "getMessage", tag = "Read",
    params(("id" = schemas::MessageId, Path, description = "The message's id")),
    responses((status = 200, body = MessageDetailView, description = "The message."), ReadErrors),
)]
pub(crate) async fn get(State(app): AppState, id: PathId) -> Result<Response, Problem> {
    let id = extract::id(id, "message")?;
    let room = app.answers().room(message_bytes(&app)).await?;
    let detail = app
        .engine()
        .store()
        .message(id)
        .await?
        .ok_or_else(|| Problem::not_found("message"))?;
    app.answers().json(room, &MessageDetailView::of(&app, detail)).await
}

/// Bytes of an answer about one message, unless much of it needs escapes.
fn message_bytes(app: &App) -> usize {
    app.settings().body_bytes_max + DETAIL_BYTES
}

/// Bytes to reserve for a page of messages.
pub(crate) fn page_bytes<P>(app: &App, request: &PageRequest<P>) -> usize {
    (request.size() as usize * message_bytes(app)).min(PAGE_BYTES)
}

/// List messages
///
/// Latest processed first; all given filters must match. `total` is exact up to 10,000 and stays there beyond, with
/// `total_capped`.
#[utoipa::path(
    get, path = "/api/messages", operation_id = "listMessages", tag = "Read",
    params(
        Paging,
        ("status" = Option<enums::Status>, Query),
        ("channel" = Option<enums::Channel>, Query),
        ("provider" = Option<schemas::ProviderName>, Query),
        ("direction" = Option<enums::Direction>, Query),
        ("from" = Option<schemas::Participant>, Query),
        ("to" = Option<schemas::Participant>, Query),
        ("conversation_id" = Option<schemas::ConversationId>, Query),
        ("since" = Option<schemas::Timestamp>, Query, description = "Processed at this time or later."),
        ("extract" = Option<bool>, Query, description = "Adds `extracted` to each message."),
    ),
    responses((status = 200, body = Envelope<MessageView>, description = "A page of messages."), ListErrors),
)]
pub(crate) async fn list(
    State(app): AppState,
    query: Query<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    let parameters = ListingParameters::of(query);
    let filter = filter(&app, &parameters)?;
    let extract = parameters.flag("extract")?;
    let request = parameters.page()?;
    let room = app.answers().room(page_bytes(&app, &request)).await?;
    let page = app.engine().store().messages(&filter, &request).await?;
    answer(&app, room, &request, page, |message| {
        let view = MessageView::of(&app, message);
        if extract { view.extract() } else { view }
    })
    .await
}

fn filter(app: &App, parameters: &ListingParameters) -> Result<MessageFilter, Problem> {
    Ok(MessageFilter {
        status: parameters.filter("status")?,
        channel: parameters.filter("channel")?,
        provider: parameters.filter("provider")?,
        direction: parameters.filter("direction")?,
        from: parameters.participant(app, "from")?,
        to: parameters.participant(app, "to")?,
        conversation_id: parameters.filter("conversation_id")?,
        since: parameters.instant("since")?,
    })
}
