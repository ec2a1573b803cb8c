use std::collections::HashSet;

use async_trait::async_trait;
use domain::ConversationId;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Postgres, insert::insert, rows};
use crate::{Accept, Accepted, Accepting, IdempotentRequest, Kind, StoreError};

/// How often all that is left of a batch is tried at once. Whenever one request turns out to have been here before, or all to have
/// come too late, the others begin again; then each is tried alone, so that requests which are repeated elsewhere cannot keep
/// others waiting for ever.
const ROUNDS_TOGETHER_MAX: usize = 3;
/// How often one is tried alone: it may have been purged between losing and being looked up.
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
        let sql = include_str!("../../sql/messages/find_accepted.postgres.sql");
        let none: [Option<&str>; 1] = [None];
        let rows = self
            .write(
                sql,
                &[
                    &[None::<Uuid>].as_slice(),
                    &[request.key.as_str()].as_slice(),
                    &[request.fingerprint.0.as_slice()].as_slice(),
                    &none.as_slice(),
                    &none.as_slice(),
                ],
            )
            .await
            .map_err(StoreError::of_nothing_changed)?;
        rows.first().map(found).transpose()
    }
}

async fn accept(store: &Postgres, batch: &[Accept]) -> Result<Vec<Accepted>, StoreError> {
    let mut answers = vec![None; batch.len()];
    let result = answer_all(store, batch, &mut answers).await;
    let stored = answers
        .iter()
        .any(|answer| matches!(answer, Some(Accepted::New { .. })));
    let gone = || StoreError::Unavailable("it kept losing, or coming too late".to_owned());
    let answers = result.and_then(|()| answers.into_iter().collect::<Option<Vec<_>>>().ok_or_else(gone));
    answers.map_err(|error| match stored {
        // No failure may say otherwise.
        true => StoreError::OutcomeUnknown(format!("stored, but not who lost: {error}")),
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

/// Stores the messages in these places. When it stores none, because some were here before or all came too late, it finds out which
/// ones were.
async fn try_once(
    store: &Postgres,
    batch: &[Accept],
    places: &[usize],
    answers: &mut [Option<Accepted>],
) -> Result<(), StoreError> {
    let accepts = |places: &[usize]| -> Vec<&Accept> { places.iter().map(|place| &batch[*place]).collect() };
    let mut firsts = places.to_vec();
    let mut claimed = HashSet::new();
    firsts.retain(|place| claim(&batch[*place]).is_none_or(|claim| claimed.insert(claim)));
    if let Some(stored) = insert(store, &accepts(&firsts)).await? {
        for (place, answer) in firsts.into_iter().zip(stored) {
            answers[place] = Some(answer);
        }
    }
    let mut losers = places.to_vec();
    losers.retain(|place| answers[*place].is_none());
    if !losers.is_empty() {
        // Whatever they lost against, if they did, is committed by now.
        let found = find_accepted(store, &accepts(&losers)).await;
        let found = found.map_err(StoreError::of_nothing_changed)?;
        for (place, answer) in losers.into_iter().zip(found) {
            answers[place] = answer;
        }
    }
    Ok(())
}

/// By what a message is recognized when it is repeated: its key, or its provider with that one's id.
fn claim(accept: &Accept) -> Option<(Option<&str>, &str)> {
    match &accept.kind {
        Kind::Send { request, .. } => request.as_ref().map(|request| (None, request.key.as_str())),
        Kind::Receive {
            provider_message_id, ..
        } => Some((Some(accept.provider.as_str()), provider_message_id.as_str())),
    }
}

async fn find_accepted(store: &Postgres, batch: &[&Accept]) -> Result<Vec<Option<Accepted>>, StoreError> {
    let requests = batch.iter().map(|accept| match &accept.kind {
        Kind::Send { request, .. } => (request.as_ref(), None),
        Kind::Receive {
            provider_message_id, ..
        } => (None, Some(provider_message_id.as_str())),
    });
    let ids: Vec<Uuid> = batch.iter().map(|accept| accept.id.as_uuid()).collect();
    let providers: Vec<&str> = batch.iter().map(|accept| accept.provider.as_str()).collect();
    let (requests, provider_message_ids): (Vec<_>, Vec<_>) = requests.unzip();
    let (keys, fingerprints): (Vec<_>, Vec<_>) = requests
        .iter()
        .map(|request| {
            request
                .map(|request| (request.key.as_str(), request.fingerprint.0.as_slice()))
                .unzip()
        })
        .unzip();
    let sql = include_str!("../../sql/messages/find_accepted.postgres.sql");
    let rows = store
        .accepting
        .query(
            sql,
            &[&ids, &keys, &fingerprints, &providers, &provider_message_ids],
        )
        .await?;
    let mut answers = vec![None; batch.len()];
    for row in &rows {
        answers[place(row, batch.len())?] = Some(found(row)?);
    }
    Ok(answers)
}

fn found(row: &Row) -> Result<Accepted, StoreError> {
    if rows::get::<Option<bool>>(row, "conflict")? == Some(true) {
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
        }),
    }
}

fn conversation_id(row: &Row) -> Result<ConversationId, StoreError> {
    ConversationId::new(rows::get(row, "conversation_id")?)
        .ok_or_else(|| StoreError::Refused("a message without a conversation".to_owned()))
}

/// The place of a row's request in its batch; `with ordinality` counts from 1.
fn place(row: &Row, batch_len: usize) -> Result<usize, StoreError> {
    let place: usize = rows::count(rows::get::<i64>(row, "place")? - 1)?;
    if place < batch_len {
        Ok(place)
    } else {
        Err(StoreError::Refused("an answer nobody asked for".to_owned()))
    }
}
