use domain::ConversationId;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Postgres, insert::insert, rows};
use crate::{Accept, Accepted, Arrival, IdempotentRequest, StoreError};

/// How often losers look for the winner they lost to: it may be purged between the two statements, and then they win.
const LOSER_ROUNDS_MAX: u32 = 3;

pub(super) async fn accept(store: &Postgres, batch: &[Accept]) -> Result<Vec<Accepted>, StoreError> {
    let mut answers = insert(store, batch).await?;
    // Once winners are stored, no failure may say otherwise.
    let mut stored = answers.iter().any(Option::is_some);
    let unless_stored = |stored: bool, error: StoreError| match stored {
        true => StoreError::OutcomeUnknown(format!("stored, but not who lost: {error}")),
        false => error,
    };
    for _ in 0..LOSER_ROUNDS_MAX {
        let losers: Vec<usize> = (0..batch.len())
            .filter(|place| answers[*place].is_none())
            .collect();
        if losers.is_empty() {
            break;
        }
        // Whoever lost did so against a row that is committed by now, which a second statement sees.
        let requests: Vec<Accept> = losers.iter().map(|place| batch[*place].clone()).collect();
        let found = find_accepted(store, &requests).await;
        let mut found = found.map_err(|error| unless_stored(stored, error))?;
        if found.iter().any(Option::is_none) {
            let again: Vec<usize> = (0..found.len()).filter(|place| found[*place].is_none()).collect();
            let orphans: Vec<Accept> = again.iter().map(|place| requests[*place].clone()).collect();
            let inserted = insert(store, &orphans).await;
            let inserted = inserted.map_err(|error| unless_stored(stored, error))?;
            stored |= inserted.iter().any(Option::is_some);
            for (place, answer) in again.into_iter().zip(inserted) {
                found[place] = answer;
            }
        }
        for (place, answer) in losers.into_iter().zip(found) {
            answers[place] = answer;
        }
    }
    let gone =
        || StoreError::Unavailable("a repeated request kept losing against keys that expire".to_owned());
    answers
        .into_iter()
        .map(|answer| answer.ok_or_else(|| unless_stored(stored, gone())))
        .collect()
}

pub(super) async fn find_accepted(
    store: &Postgres,
    batch: &[Accept],
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
