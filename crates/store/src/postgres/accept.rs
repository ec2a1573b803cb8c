use std::collections::HashSet;

use domain::ConversationId;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Postgres, insert::insert, rows};
use crate::{Accept, Accepted, Arrival, IdempotentRequest, StoreError};

/// How often a batch is tried. Whenever one of its requests turns out to have been here before, the others begin again; and
/// what it repeats may have been purged before it is looked at, so that it begins again itself.
const ROUNDS_MAX: u32 = 5;

pub(super) async fn accept(store: &Postgres, batch: &[Accept]) -> Result<Vec<Accepted>, StoreError> {
    let mut answers = vec![None; batch.len()];
    let mut result = Ok(());
    for _ in 0..ROUNDS_MAX {
        result = round(store, batch, &mut answers).await;
        if result.is_err() || answers.iter().all(Option::is_some) {
            break;
        }
    }
    let gone = || StoreError::Unavailable("it kept losing against other requests".to_owned());
    let stored = answers
        .iter()
        .any(|answer| matches!(answer, Some(Accepted::New { .. })));
    let answers = result.and_then(|()| answers.into_iter().collect::<Option<Vec<_>>>().ok_or_else(gone));
    answers.map_err(|error| match stored {
        // No failure may say otherwise.
        true => StoreError::OutcomeUnknown(format!("stored, but not who lost: {error}")),
        false => error,
    })
}

/// Stores what has no answer yet; when some of it was here before, finds out which, and stores nothing.
async fn round(
    store: &Postgres,
    batch: &[Accept],
    answers: &mut [Option<Accepted>],
) -> Result<(), StoreError> {
    let open = |answers: &[Option<Accepted>]| -> Vec<usize> {
        (0..batch.len())
            .filter(|place| answers[*place].is_none())
            .collect()
    };
    let accepts = |places: &[usize]| -> Vec<&Accept> { places.iter().map(|place| &batch[*place]).collect() };
    let mut firsts = open(answers);
    let mut claimed = HashSet::new();
    firsts.retain(|place| claim(&batch[*place]).is_none_or(|claim| claimed.insert(claim)));
    if let Some(stored) = insert(store, &accepts(&firsts)).await? {
        for (place, answer) in firsts.into_iter().zip(stored) {
            answers[place] = Some(answer);
        }
    }
    let losers = open(answers);
    if !losers.is_empty() {
        // Whatever they lost against is committed by now.
        let found = find_accepted(store, &accepts(&losers)).await?;
        for (place, answer) in losers.into_iter().zip(found) {
            answers[place] = answer;
        }
    }
    Ok(())
}

/// By what a message is recognized when it is repeated: its key, or its provider with that one's id.
fn claim(accept: &Accept) -> Option<(Option<&str>, &str)> {
    match &accept.arrival {
        Arrival::Send { request, .. } => request.as_ref().map(|request| (None, request.key.as_str())),
        Arrival::Receive {
            provider_message_id, ..
        } => Some((Some(accept.provider.as_str()), provider_message_id.as_str())),
    }
}

pub(super) async fn find_accepted(
    store: &Postgres,
    batch: &[&Accept],
) -> Result<Vec<Option<Accepted>>, StoreError> {
    let requests = batch.iter().map(|accept| match &accept.arrival {
        Arrival::Send { request, .. } => (request.as_ref(), None),
        Arrival::Receive {
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

pub(super) async fn find_repeated(
    store: &Postgres,
    request: &IdempotentRequest,
) -> Result<Option<Accepted>, StoreError> {
    let sql = include_str!("../../sql/messages/find_accepted.postgres.sql");
    let none: [Option<&str>; 1] = [None];
    let rows = store
        .read(
            sql,
            &[
                &[None::<Uuid>].as_slice(),
                &[request.key.as_str()].as_slice(),
                &[request.fingerprint.0.as_slice()].as_slice(),
                &none.as_slice(),
                &none.as_slice(),
            ],
        )
        .await?;
    rows.first().map(found).transpose()
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
