//! The accepting statement: one transaction and one round trip for a whole batch. Its parameters are one array per column.

use domain::{ConversationId, ConversationKey, Subject, Timestamp};
use tokio_postgres::Row;

use super::{Postgres, millis, rows};
use crate::{Accept, Accepted, Kind, StoreError, json};

/// Stores all messages, of which no two are repeats of each other. `None` if one repeats a stored message or the deadline
/// has passed: then none is stored.
pub(super) async fn insert(store: &Postgres, batch: &[&Accept]) -> Result<Option<Vec<Accepted>>, StoreError> {
    let (mut keys, mut inbound_ids) = (Vec::new(), Vec::new());
    for accept in batch {
        let (id, provider) = (accept.id.as_uuid(), accept.provider.as_str());
        match &accept.kind {
            Kind::Send { request, .. } => {
                let request = request.iter();
                keys.extend(request.map(|request| (request.key.as_str(), &request.fingerprint.0[..], id)));
            }
            Kind::Receive {
                provider_message_id,
                payload,
            } => inbound_ids.push((
                [
                    provider,
                    provider_message_id.as_str(),
                    accept.message.from.as_str(),
                    accept.message.to.as_str(),
                ],
                id,
                &**payload,
            )),
        }
    }
    keys.sort_unstable();
    inbound_ids.sort_unstable();
    let conversations = column(batch, |accept| accept.message.conversation());
    let (shares, places) = shares(batch, &conversations);
    let told = store
        .accepting
        .query_by_deadline(
            include_str!("../../sql/messages/accept.postgres.sql"),
            &[
                &column(&keys, |key| key.0),
                &column(&keys, |key| key.1),
                &column(&keys, |key| key.2),
                &column(&inbound_ids, |(key, ..)| key[0]),
                &column(&inbound_ids, |(key, ..)| key[1]),
                &column(&inbound_ids, |(key, ..)| key[2]),
                &column(&inbound_ids, |(key, ..)| key[3]),
                &column(&inbound_ids, |(_, id, _)| *id),
                &column(&inbound_ids, |(.., payload)| *payload),
                &column(&shares, |share| share.key[2]),
                &column(&shares, |share| share.key[0]),
                &column(&shares, |share| share.key[1]),
                &column(&shares, |share| share.messages),
                &column(&shares, |share| moment(share.last_activity_at)),
                &column(&shares, |share| moment(share.created_at)),
                &column(batch, |accept| accept.id.as_uuid()),
                &column(&places, |place| place.share as i64),
                &column(&places, |place| place.following),
                &column(batch, |accept| accept.message.content.channel.as_str()),
                &column(batch, |accept| accept.message.content.from.as_str()),
                &column(batch, |accept| accept.message.content.to.as_str()),
                &column(batch, |accept| accept.message.from.as_str()),
                &column(batch, |accept| accept.message.to.as_str()),
                &column(batch, |accept| {
                    accept.message.content.subject.as_ref().map(Subject::as_str)
                }),
                &column(batch, |accept| accept.message.content.body.as_str()),
                &column(batch, |accept| {
                    json::from_attachments(&accept.message.content.attachments)
                }),
                &column(batch, |accept| {
                    json::from_metadata(&accept.message.content.metadata)
                }),
                &column(batch, |accept| moment(accept.timestamp())),
                &column(batch, |accept| moment(accept.processed_at)),
                &column(batch, |accept| accept.message.schedule.send_at.map(moment)),
                &column(batch, |accept| accept.message.schedule.expires_at.map(moment)),
                &column(batch, |accept| accept.provider.as_str()),
                &column(batch, |accept| match accept.kind {
                    Kind::Send { lease, .. } if accept.message.schedule.send_at.is_none() => {
                        lease.map(millis)
                    }
                    Kind::Send { .. } | Kind::Receive { .. } => None,
                }),
                &column(batch, |accept| match accept.kind {
                    Kind::Send { deadline, .. } => Some(millis(deadline)),
                    Kind::Receive { .. } => None,
                }),
                &column(&shares, |share| share.outside[0]),
                &column(&shares, |share| share.outside[1]),
            ],
            &store.server_clock,
        )
        .await?;
    let accepted = told.first().map_or(Ok(None), |row| accepted(row, &places));
    accepted.map_err(|error| {
        StoreError::OutcomeUnknown(format!("stored, but the answer cannot be read: {error}"))
    })
}

fn column<'a, T, C>(rows: &'a [T], value: impl Fn(&'a T) -> C) -> Vec<C> {
    rows.iter().map(value).collect()
}

fn moment(timestamp: Timestamp) -> jiff::Timestamp {
    timestamp.into()
}

/// The messages of a batch in one conversation.
struct Share<'a> {
    key: [&'a str; 3],
    messages: i64,
    last_activity_at: Timestamp,
    created_at: Timestamp,
    /// Whether each participant is outside in one of them.
    outside: [bool; 2],
}

/// The conversation of a message, and its place there.
#[derive(Clone, Default)]
struct BatchPlace {
    /// The number of the conversation in the batch, from 1.
    share: usize,
    /// How many messages of the batch follow in the same conversation.
    following: i64,
}

/// The conversations of a batch, in the order in which all nodes lock them, and the place of each message.
fn shares<'a>(batch: &[&Accept], conversations: &'a [ConversationKey]) -> (Vec<Share<'a>>, Vec<BatchPlace>) {
    let keys = column(conversations, order);
    let mut by_key: Vec<usize> = (0..batch.len()).collect();
    by_key.sort_by_key(|message| keys[*message]);
    let (mut shares, mut places) = (Vec::new(), vec![BatchPlace::default(); batch.len()]);
    for messages in by_key.chunk_by(|one, other| keys[*one] == keys[*other]) {
        let mut share = Share {
            key: keys[messages[0]],
            messages: 0,
            last_activity_at: batch[messages[0]].active_at(),
            created_at: batch[messages[0]].processed_at,
            outside: [false; 2],
        };
        for message in messages.iter().rev() {
            let accept = batch[*message];
            places[*message] = BatchPlace {
                share: shares.len() + 1,
                following: share.messages,
            };
            share.messages += 1;
            share.last_activity_at = share.last_activity_at.max(accept.active_at());
            share.created_at = share.created_at.min(accept.processed_at);
            let outside = match accept.kind {
                Kind::Send { .. } => &accept.message.to,
                Kind::Receive { .. } => &accept.message.from,
            };
            share.outside[0] |= share.key[0] == outside.as_str();
            share.outside[1] |= share.key[1] == outside.as_str();
        }
        shares.push(share);
    }
    (shares, places)
}

/// Participants, then channel, compared as bytes.
fn order(key: &ConversationKey) -> [&str; 3] {
    [
        key.participant_a().as_str(),
        key.participant_b().as_str(),
        key.channel().as_str(),
    ]
}

fn accepted(row: &Row, places: &[BatchPlace]) -> Result<Option<Vec<Accepted>>, StoreError> {
    let Some(ids) = rows::get::<Option<Vec<i64>>>(row, "ids")? else {
        return Ok(None);
    };
    let counts: Vec<i64> = rows::get(row, "counts")?;
    let told: Vec<_> = ids.into_iter().zip(counts).collect();
    let missing = || StoreError::Refused("the statement returned a conversation without an id".to_owned());
    let accepted = places.iter().map(|place| {
        let told = told.get(place.share - 1);
        let (id, count) = told.ok_or_else(missing)?;
        Ok(Accepted::New {
            conversation_id: ConversationId::new(*id).ok_or_else(missing)?,
            sequence: rows::count(count - place.following)?,
        })
    });
    accepted.collect::<Result<_, _>>().map(Some)
}
