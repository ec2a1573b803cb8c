use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, Query, State},
};
use domain::{Conversation, ConversationChannel, ConversationId, Participant, Timestamp};
use serde::Serialize;
use store::ConversationFilter;

use super::{
    listing::{Envelope, Parameters, invalid},
    messages::MessageView,
};
use crate::{
    App,
    extract::{Ask, PathId},
    problem::Problem,
};

/// A conversation as it is shown.
#[derive(Serialize)]
pub(crate) struct ConversationView {
    id: ConversationId,
    key: String,
    channel: ConversationChannel,
    participant_a: Participant,
    participant_b: Participant,
    message_count: u64,
    last_activity_at: Timestamp,
    created_at: Timestamp,
}

impl From<Conversation> for ConversationView {
    fn from(conversation: Conversation) -> Self {
        let Conversation {
            id,
            key,
            message_count,
            last_activity_at,
            created_at,
        } = conversation;
        Self {
            id,
            channel: key.channel(),
            participant_a: key.participant_a().clone(),
            participant_b: key.participant_b().clone(),
            key: key.to_text(),
            message_count,
            last_activity_at,
            created_at,
        }
    }
}

/// `GET /api/conversations`
pub(crate) async fn list(
    State(app): Ask,
    query: Query<BTreeMap<String, String>>,
) -> Result<Json<Envelope<ConversationView>>, Problem> {
    let parameters = Parameters::of(query);
    let participant = parameters
        .given("participant")
        .map(|text| find(&app, text))
        .transpose()?;
    let filter = ConversationFilter {
        channel: parameters.filter("channel")?,
        participant,
    };
    let request = parameters.page()?;
    let page = app.engine().store().conversations(&filter, &request).await?;
    Ok(Json(Envelope::of(&request, page, ConversationView::from)))
}

/// `GET /api/conversations/{id}`
pub(crate) async fn get(State(app): Ask, id: PathId) -> Result<Json<ConversationView>, Problem> {
    let conversation = app.engine().store().conversation(conversation_id(id)?).await?;
    conversation
        .map(|conversation| Json(conversation.into()))
        .ok_or_else(|| Problem::not_found("conversation"))
}

/// `GET /api/conversations/{id}/messages`
pub(crate) async fn messages(
    State(app): Ask,
    id: PathId,
    query: Query<BTreeMap<String, String>>,
) -> Result<Json<Envelope<MessageView>>, Problem> {
    let request = Parameters::of(query).page()?;
    let page = app
        .engine()
        .store()
        .thread(conversation_id(id)?, &request)
        .await?;
    let page = page.ok_or_else(|| Problem::not_found("conversation"))?;
    Ok(Json(Envelope::of(&request, page, |message| {
        MessageView::of(&app, message)
    })))
}

/// Whom a client looks for. In a query a `+` that was not escaped arrives as a space: nobody means a number that begins
/// with one.
fn find(app: &App, text: &str) -> Result<Participant, Problem> {
    let unescaped = text
        .strip_prefix(' ')
        .filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    let text = unescaped.map_or(text.to_owned(), |rest| format!("+{rest}"));
    let found = Participant::find(&text, app.settings().drafts.default_region);
    found.ok_or_else(|| {
        invalid(
            "participant",
            "use a phone number, an email address or the name of a sender",
        )
    })
}

/// An id that is none names no conversation.
fn conversation_id(id: PathId) -> Result<ConversationId, Problem> {
    let id = id.ok().and_then(|Path(text)| text.parse().ok());
    id.ok_or_else(|| Problem::not_found("conversation"))
}
