use std::collections::HashSet;

use async_trait::async_trait;
use domain::{ConversationId, MessageId, Subject};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{Postgres, insert::insert, rows};
use crate::{Accept, Accepted, Accepting, IdempotentRequest, Kind, Outage, StoreError, json};

/// How often the rest of a batch is tried together. A repeat in it, or a deadline passed, stores nothing, and the rest is
/// tried again; after that each request is tried alone, so that repeats on other nodes cannot delay the others for ever.
const ROUNDS_TOGETHER_MAX: usize = 3;
/// How often one request is tried alone: its key may be purged between the conflict and the look-up.
const ROUNDS_ALONE_MAX: usize = 3;

#[async_trait]
impl Accepting for Postgres {
    async fn accept(&self, batch: &[Accept]) -> Result<Vec<Accepted>, StoreError> {
        let accepted = accept(self, batch).await;
        self.probe.note(&accepted);
        accepted
    }

    async fn find_accepted(&self, batch: &[Accept]) -> Result<Vec<Option<Accepted>>, StoreError> {
        find_accepted(self, &batch.iter().collect::<Vec<_>>()).await
    }

    async fn find_repeated(&self, request: &IdempotentRequest) -> Result<Option<Accepted>, StoreError> {
        let mut columns = Columns::default();
        columns.push_request(None, Some(request));
        let rows = self.write(FIND_ACCEPTED, &columns.parameters()).await;
        let rows = rows.map_err(StoreError::of_nothing_changed)?;
        rows.first().map(found).transpose()
    }
}

async fn accept(store: &Postgres, batch: &[Accept]) -> Result<Vec<Accepted>, StoreError> {
    let mut answers = vec![None; batch.len()];
    let result = answer_all(store, batch, &mut answers).await;
    let stored = answers
        .iter()
        .any(|answer| matches!(answer, Some(Accepted::New { .. })));
    let gone = || {
        let reason = "some messages lost against other transactions, or reached the server too late, each time they were tried";
        StoreError::unavailable(Outage::Busy, reason)
    };
    let answers = result.and_then(|()| answers.into_iter().collect::<Option<Vec<_>>>().ok_or_else(gone));
    answers.map_err(|error| match stored {
        // Part of the batch is stored, and the error must not deny it.
        true => StoreError::OutcomeUnknown(format!(
            "the batch is stored in part, and its repeats cannot be looked up: {error}"
        )),
        false => error,
    })
}

async fn answer_all(
    store: &Postgres,
    batch: &[Accept],
    answers: &mut [Option<Accepted>],
) -> Result<(), StoreError> {
    for round in 0..ROUNDS_TOGETHER_MAX + ROUNDS_ALONE_MAX * batch.len() {
        let mut open: Vec<usize> = (0..batch.len())
            .filter(|place| answers[*place].is_none())
            .collect();
        if open.is_empty() {
            break;
        }
        if round >= ROUNDS_TOGETHER_MAX {
            open.truncate(1);
        }
        try_once(store, batch, &open, answers).await?;
    }
    Ok(())
}

/// Stores the messages at these places of the batch. If it stores none, because of repeats or a passed deadline, it looks
/// the repeats up.
async fn try_once(
    store: &Postgres,
    batch: &[Accept],
    places: &[usize],
    answers: &mut [Option<Accepted>],
) -> Result<(), StoreError> {
    let accepts = |places: &[usize]| -> Vec<&Accept> { places.iter().map(|place| &batch[*place]).collect() };
    let mut firsts = places.to_vec();
    let mut seen = HashSet::new();
    firsts.retain(|place| repeat_key(&batch[*place]).is_none_or(|key| seen.insert(key)));
    if let Some(stored) = insert(store, &accepts(&firsts)).await? {
        for (place, answer) in firsts.into_iter().zip(stored) {
            answers[place] = Some(answer);
        }
    }
    let mut losers = places.to_vec();
    losers.retain(|place| answers[*place].is_none());
    if !losers.is_empty() {
        // The messages that they repeat are committed by now.
        let found = find_accepted(store, &accepts(&losers)).await;
        let found = found.map_err(StoreError::of_nothing_changed)?;
        for (place, answer) in losers.into_iter().zip(found) {
            answers[place] = answer;
        }
    }
    Ok(())
}

/// The key by which a repeat of a message is recognized.
#[derive(PartialEq, Eq, Hash)]
enum RepeatKey<'a> {
    Idempotency(&'a str),
    Inbound([&'a str; 4]),
}

fn repeat_key(accept: &Accept) -> Option<RepeatKey<'_>> {
    match &accept.kind {
        Kind::Send { request, .. } => request
            .as_ref()
            .map(|request| RepeatKey::Idempotency(request.key.as_str())),
        Kind::Receive {
            provider_message_id, ..
        } => Some(RepeatKey::Inbound([
            accept.provider.as_str(),
            provider_message_id.as_str(),
            accept.message.from.as_str(),
            accept.message.to.as_str(),
        ])),
    }
}

async fn find_accepted(store: &Postgres, batch: &[&Accept]) -> Result<Vec<Option<Accepted>>, StoreError> {
    let mut columns = Columns::default();
    batch.iter().for_each(|accept| columns.push(accept));
    let rows = store
        .accepting
        .query(FIND_ACCEPTED, &columns.parameters())
        .await?;
    let mut answers = vec![None; batch.len()];
    for row in &rows {
        answers[place(row, batch.len())?] = Some(found(row)?);
    }
    Ok(answers)
}

const FIND_ACCEPTED: &str = include_str!("../../sql/messages/find_accepted.postgres.sql");

/// Requests to look up, as one array per column. Only inbound messages have content, which is compared.
#[derive(Default)]
struct Columns<'a> {
    id: Vec<Option<Uuid>>,
    key: Vec<Option<&'a str>>,
    fingerprint: Vec<Option<&'a [u8]>>,
    provider: Vec<Option<&'a str>>,
    provider_message_id: Vec<Option<&'a str>>,
    from_participant: Vec<Option<&'a str>>,
    to_participant: Vec<Option<&'a str>>,
    channel: Vec<Option<&'a str>>,
    subject: Vec<Option<&'a str>>,
    body: Vec<Option<&'a str>>,
    attachments: Vec<Option<String>>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, accept: &'a Accept) {
        match &accept.kind {
            Kind::Send { request, .. } => self.push_request(Some(accept.id), request.as_ref()),
            Kind::Receive {
                provider_message_id, ..
            } => {
                let message = &accept.message;
                let content = &message.content;
                self.id.push(Some(accept.id.as_uuid()));
                self.key.push(None);
                self.fingerprint.push(None);
                self.provider.push(Some(accept.provider.as_str()));
                self.provider_message_id.push(Some(provider_message_id.as_str()));
                self.from_participant.push(Some(message.from.as_str()));
                self.to_participant.push(Some(message.to.as_str()));
                self.channel.push(Some(content.channel.as_str()));
                self.subject.push(content.subject.as_ref().map(Subject::as_str));
                self.body.push(Some(content.body.as_str()));
                self.attachments
                    .push(json::from_attachments(&content.attachments));
            }
        }
    }

    fn push_request(&mut self, id: Option<MessageId>, request: Option<&'a IdempotentRequest>) {
        self.id.push(id.map(MessageId::as_uuid));
        self.key.push(request.map(|request| request.key.as_str()));
        self.fingerprint
            .push(request.map(|request| request.fingerprint.0.as_slice()));
        for column in [
            &mut self.provider,
            &mut self.provider_message_id,
            &mut self.from_participant,
            &mut self.to_participant,
            &mut self.channel,
            &mut self.subject,
            &mut self.body,
        ] {
            column.push(None);
        }
        self.attachments.push(None);
    }

    fn parameters(&self) -> [&(dyn ToSql + Sync); 11] {
        [
            &self.id,
            &self.key,
            &self.fingerprint,
            &self.provider,
            &self.provider_message_id,
            &self.from_participant,
            &self.to_participant,
            &self.channel,
            &self.subject,
            &self.body,
            &self.attachments,
        ]
    }
}

fn found(row: &Row) -> Result<Accepted, StoreError> {
    if rows::get(row, "conflict")? {
        return Ok(Accepted::KeyConflict);
    }
    match rows::get::<Option<i64>>(row, "sequence")? {
        Some(sequence) => Ok(Accepted::New {
            conversation_id: conversation_id(row)?,
            sequence: rows::count(sequence)?,
        }),
        None => Ok(Accepted::Repeated {
            id: rows::get::<Uuid>(row, "message_id")?.into(),
            conversation_id: rows::get::<Option<i64>>(row, "conversation_id")?.and_then(ConversationId::new),
            differs: rows::get(row, "differs")?,
        }),
    }
}

fn conversation_id(row: &Row) -> Result<ConversationId, StoreError> {
    ConversationId::new(rows::get(row, "conversation_id")?).ok_or_else(|| {
        StoreError::Refused("the accepting statement returned a message without a conversation".to_owned())
    })
}

/// The place of a row's request in the batch; `with ordinality` counts from 1.
fn place(row: &Row, batch_len: usize) -> Result<usize, StoreError> {
    let place: usize = rows::count(rows::get::<i64>(row, "place")? - 1)?;
    if place < batch_len {
        Ok(place)
    } else {
        Err(StoreError::Refused(
            "the accepting statement returned a message that is not in the batch".to_owned(),
        ))
    }
}
