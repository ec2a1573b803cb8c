use std::collections::BTreeMap;

use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::{PAGE_BYTES_MAX, PageRequest};
use futures_util::FutureExt;
use store::MessageFilter;

use super::view::{MessageDetailView, MessageView};
use crate::{
    App,
    extract::{self, AppState, PathId},
    openapi::{
        enums::{self, Waited},
        problems::{ListErrors, MessageErrors},
        schemas,
    },
    problem::Problem,
    routes::{
        listing::{Envelope, ListingParameters, Paging, answer, answer_waited},
        waiting,
    },
};

/// Bytes of a message in an answer, beside its content: ids, times, attempts.
const DETAIL_BYTES: usize = 4 * 1024;
/// Bytes reserved for a page of messages: what is read, and what is written of it. There is room for eight pages, as many as
/// the store reads concurrently. A page that needs more gets it, or is refused.
const PAGE_BYTES: usize = 2 * PAGE_BYTES_MAX;

/// Read a message
///
/// With its attempts and receipts and, while it waits, the reason. With `wait_ms` the answer comes once the status is one of
/// `until`, or when the time is over; `wait` says which.
#[utoipa::path(
    get, path = "/api/messages/{id}", operation_id = "getMessage", tag = "Read",
    params(
        ("id" = schemas::MessageId, Path, description = "The message's id"),
        ("wait_ms" = Option<schemas::WaitMs>, Query),
        (
            "until" = Option<String>, Query, min_length = 1, example = "delivered,failed",
            description = "Statuses to wait for, separated by commas. `final`, which is also the default, stands for \
                `dispatched`, `delivered`, `undelivered`, `failed`, `canceled` and `received`.",
        ),
        ("extract" = Option<bool>, Query, description = "Adds `extracted`."),
    ),
    responses((status = 200, body = MessageDetailView, description = "The message."), MessageErrors),
)]
pub(crate) async fn get(
    State(app): AppState,
    id: PathId,
    query: Query<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    let id = extract::id(id, "message")?;
    let parameters = ListingParameters::of(query);
    let (wait, until) = (waiting::wait(&parameters)?, waiting::until(&parameters)?);
    waiting::only_with_wait(&parameters, "until")?;
    let extract = parameters.flag("extract")?;
    let unknown = || Problem::not_found("message");
    let show = |detail| {
        let waits = app.engine().hold(&detail);
        let mut view = MessageDetailView::of(app.settings().snippet_graphemes, detail, waits);
        if extract {
            view.message = view.message.extract();
        }
        view
    };
    let Some(within) = wait else {
        let room = app.answers().room(message_bytes(&app)).await?;
        let detail = app.engine().store().message(id).await?.ok_or_else(unknown)?;
        return app.answers().json(room, &show(detail)).await;
    };
    let place = app.waits().request()?;
    let room = || app.answers().room(message_bytes(&app)).boxed();
    let waited = app.engine().wait_for_message(id, &until, within, &room).await?;
    drop(place);
    let engine::Waited {
        value: (detail, room),
        met,
    } = waited.ok_or_else(unknown)?;
    let mut view = show(detail);
    view.wait = Some(Waited::of(met));
    app.answers().json(room, &view).await.map(waiting::on_demand)
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
/// `total_capped`. With `wait_ms` the answer comes once `count` messages match, or when the time is over; `meta.wait` says
/// which.
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
        ("wait_ms" = Option<schemas::WaitMs>, Query),
        ("count" = Option<schemas::WaitCount>, Query),
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
    let (wait, count) = (waiting::wait(&parameters)?, waiting::count(&parameters)?);
    waiting::only_with_wait(&parameters, "count")?;
    let request = parameters.page()?;
    let show = |message| {
        let view = MessageView::of(app.settings().snippet_graphemes, message);
        if extract { view.extract() } else { view }
    };
    let Some(within) = wait else {
        let room = app.answers().room(page_bytes(&app, &request)).await?;
        let page = app.engine().store().messages(&filter, &request).await?;
        return answer(&app, room, &request, page, show).await;
    };
    let place = app.waits().request()?;
    let room = || app.answers().room(page_bytes(&app, &request)).boxed();
    let waiting = app
        .engine()
        .wait_for_messages(&filter, &request, count, within, &room);
    let engine::Waited {
        value: (page, room),
        met,
    } = waiting.await?;
    drop(place);
    let answer = answer_waited(&app, room, &request, page, Some(Waited::of(met)), show).await;
    answer.map(waiting::on_demand)
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
