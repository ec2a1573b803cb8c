use domain::ConversationId;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Postgres, millis, rows};
use crate::{Accept, Accepted, Arrival, IdempotentRequest, StoreError, json};

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
    let columns = Columns::of(batch);
    let sql = include_str!("../../sql/messages/find_accepted.postgres.sql");
    let rows = store
        .write(
            sql,
            &[
                &columns.id,
                &columns.key,
                &columns.fingerprint,
                &columns.provider,
                &columns.provider_message_id,
            ],
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

/// Stores the winners of a batch; losers get no answer here.
async fn insert(store: &Postgres, batch: &[Accept]) -> Result<Vec<Option<Accepted>>, StoreError> {
    let columns = Columns::of(batch);
    let rows = store
        .write(
            include_str!("../../sql/messages/accept.postgres.sql"),
            &[
                &columns.id,
                &columns.conversation_channel,
                &columns.participant_a,
                &columns.participant_b,
                &columns.direction,
                &columns.channel,
                &columns.sender,
                &columns.recipient,
                &columns.subject,
                &columns.body,
                &columns.attachments,
                &columns.timestamp,
                &columns.processed_at,
                &columns.provider,
                &columns.key,
                &columns.fingerprint,
                &columns.deadline_ms,
                &columns.lease_ms,
                &columns.provider_message_id,
                &columns.payload,
            ],
        )
        .await?;
    let mut answers = vec![None; batch.len()];
    for row in &rows {
        let conversation_id = conversation_id(row)?;
        let sequence = rows::count(rows::get(row, "sequence")?)?;
        answers[place(row, batch.len())?] = Some(Accepted::New {
            conversation_id,
            sequence,
        });
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

/// A batch as one array per column.
#[derive(Default)]
struct Columns<'a> {
    id: Vec<Uuid>,
    conversation_channel: Vec<&'a str>,
    participant_a: Vec<&'a str>,
    participant_b: Vec<&'a str>,
    direction: Vec<&'a str>,
    channel: Vec<&'a str>,
    sender: Vec<&'a str>,
    recipient: Vec<&'a str>,
    subject: Vec<Option<&'a str>>,
    body: Vec<&'a str>,
    attachments: Vec<Option<String>>,
    timestamp: Vec<jiff::Timestamp>,
    processed_at: Vec<jiff::Timestamp>,
    provider: Vec<&'a str>,
    key: Vec<Option<&'a str>>,
    fingerprint: Vec<Option<&'a [u8]>>,
    deadline_ms: Vec<Option<i64>>,
    lease_ms: Vec<Option<i64>>,
    provider_message_id: Vec<Option<&'a str>>,
    payload: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a [Accept]) -> Self {
        let mut columns = Self::default();
        for accept in batch {
            columns.push(accept);
        }
        columns
    }

    fn push(&mut self, accept: &'a Accept) {
        let Accept {
            id,
            conversation,
            content,
            timestamp,
            processed_at,
            provider,
            arrival,
        } = accept;
        self.id.push(id.as_uuid());
        self.conversation_channel.push(conversation.channel().as_str());
        self.participant_a.push(conversation.participant_a().as_str());
        self.participant_b.push(conversation.participant_b().as_str());
        self.channel.push(content.channel.as_str());
        self.sender.push(content.from.as_str());
        self.recipient.push(content.to.as_str());
        self.subject
            .push(content.subject.as_ref().map(domain::Subject::as_str));
        self.body.push(content.body.as_str());
        self.attachments
            .push(json::from_attachments(&content.attachments));
        self.timestamp.push((*timestamp).into());
        self.processed_at.push((*processed_at).into());
        self.provider.push(provider.as_str());
        match arrival {
            Arrival::Send {
                request,
                deadline,
                lease,
            } => {
                self.direction.push("outbound");
                self.key
                    .push(request.as_ref().map(|request| request.key.as_str()));
                self.fingerprint
                    .push(request.as_ref().map(|request| request.fingerprint.0.as_slice()));
                self.deadline_ms.push(Some(millis(*deadline)));
                self.lease_ms.push(lease.map(millis));
                self.provider_message_id.push(None);
                self.payload.push(None);
            }
            Arrival::Receive {
                provider_message_id,
                payload,
            } => {
                self.direction.push("inbound");
                self.key.push(None);
                self.fingerprint.push(None);
                self.deadline_ms.push(None);
                self.lease_ms.push(None);
                self.provider_message_id.push(Some(provider_message_id.as_str()));
                self.payload.push(Some(payload));
            }
        }
    }
}
