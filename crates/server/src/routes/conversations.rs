use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Query, State},
    response::Response,
};
use domain::{Conversation, ConversationChannel, ConversationId, Participant, Timestamp};
use serde::Serialize;
use store::{ConversationFilter, ListedConversation};
use utoipa::ToSchema;

use super::{
    listing::{Envelope, ListingParameters, Paging, answer},
    messages::{
        read::page_bytes,
        view::{LastMessageView, MessageView},
    },
};
use crate::{
    extract::{self, AppState, PathId},
    openapi::{
        enums,
        problems::{ListErrors, ReadErrors, ThreadErrors},
        schemas,
    },
    problem::Problem,
};

/// The most bytes of a conversation in an answer: two addresses, twice.
const CONVERSATION_BYTES: usize = 2 * 1024;

/// All messages between two participants on one channel.
#[derive(Serialize, ToSchema)]
#[schema(as = Conversation)]
pub(crate) struct ConversationView {
    #[schema(value_type = schemas::ConversationId)]
    id: ConversationId,
    /// The channel and both participants, to read.
    #[schema(example = "sms:+12016661234<->+18045551234")]
    key: String,
    #[schema(value_type = enums::ConversationChannel)]
    channel: ConversationChannel,
    /// The participant that sorts first, normalized.
    #[schema(value_type = String, example = "+12016661234")]
    participant_a: Participant,
    /// The other participant.
    #[schema(value_type = String, example = "+18045551234")]
    participant_b: Participant,
    /// Exact.
    #[schema(value_type = schemas::Count, example = 2)]
    message_count: u64,
    /// The latest `timestamp` of a message, or its `processed_at` if that is earlier.
    #[schema(value_type = schemas::Timestamp)]
    last_activity_at: Timestamp,
    #[schema(value_type = schemas::Timestamp)]
    created_at: Timestamp,
    #[schema(value_type = LastMessageView, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message: Option<LastMessageView>,
}

impl ConversationView {
    fn of(snippet_graphemes: usize, listed: ListedConversation) -> Self {
        let Conversation {
            id,
            key,
            message_count,
            last_activity_at,
            created_at,
        } = listed.conversation;
        let last_message = listed.last_message;
        Self {
            id,
            channel: key.channel(),
            participant_a: key.participant_a().clone(),
            participant_b: key.participant_b().clone(),
            key: key.to_text(),
            message_count,
            last_activity_at,
            created_at,
            last_message: last_message.map(|message| LastMessageView::of(snippet_graphemes, &message)),
        }
    }
}

/// List conversations
///
/// Latest activity first. A walk by cursor repeats no conversation, but misses one that becomes active meanwhile and moves to
/// the front. `total` is exact up to 10,000 and stays there beyond, with `total_capped`.
#[utoipa::path(
    get, path = "/api/conversations", operation_id = "listConversations", tag = "Read",
    params(
        Paging,
        ("channel" = Option<enums::ConversationChannel>, Query),
        ("participant" = Option<schemas::Participant>, Query),
    ),
    responses((status = 200, body = Envelope<ConversationView>, description = "A page of conversations."), ListErrors),
)]
pub(crate) async fn list(
    State(app): AppState,
    query: Query<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    let parameters = ListingParameters::of(query);
    let filter = ConversationFilter {
        channel: parameters.filter("channel")?,
        participant: parameters.participant(&app, "participant")?,
    };
    let request = parameters.page()?;
    let bytes = request.size() as usize * CONVERSATION_BYTES;
    let room = app.answers().room(bytes).await?;
    let page = app.engine().store().conversations(&filter, &request).await?;
    answer(&app, room, &request, page, |listed| {
        ConversationView::of(app.settings().snippet_graphemes, listed)
    })
    .await
}

/// Read a conversation
#[utoipa::path(
    get, path = "/api/conversations/{id}", operation_id = "getConversation", tag = "Read",
    params(("id" = schemas::ConversationId, Path, description = "The conversation's id")),
    responses((status = 200, body = ConversationView, description = "The conversation."), ReadErrors),
)]
pub(crate) async fn get(State(app): AppState, id: PathId) -> Result<Json<ConversationView>, Problem> {
    let conversation = app
        .engine()
        .store()
        .conversation(extract::id(id, "conversation")?)
        .await?;
    conversation
        .map(|listed| Json(ConversationView::of(app.settings().snippet_graphemes, listed)))
        .ok_or_else(|| Problem::not_found("conversation"))
}

/// List the messages of a conversation
///
/// Oldest first: by `timestamp`, then by `sequence`. A walk by cursor neither skips nor repeats messages that were there when
/// it began. `total` is exact.
#[utoipa::path(
    get, path = "/api/conversations/{id}/messages", operation_id = "listConversationMessages", tag = "Read",
    params(("id" = schemas::ConversationId, Path, description = "The conversation's id"), Paging),
    responses((status = 200, body = Envelope<MessageView>, description = "A page of messages."), ThreadErrors),
)]
pub(crate) async fn messages(
    State(app): AppState,
    id: PathId,
    query: Query<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    let request = ListingParameters::of(query).page()?;
    let room = app.answers().room(page_bytes(&app, &request)).await?;
    let page = app
        .engine()
        .store()
        .thread(extract::id(id, "conversation")?, &request)
        .await?;
    let page = page.ok_or_else(|| Problem::not_found("conversation"))?;
    answer(&app, room, &request, page, |message| {
        MessageView::of(app.settings().snippet_graphemes, message)
    })
    .await
}
