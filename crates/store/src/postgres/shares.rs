//! Counting messages into conversations: the one place in which a batch changes them.

use std::collections::BTreeMap;

use deadpool_postgres::Object;
use domain::{ConversationId, ConversationKey, Timestamp};
use tokio_postgres::{Error, Row, Statement, types::ToSql};

use super::{failure::QueryFailure, rows};

/// What [`Shares::upsert`] runs, to be prepared before.
pub(super) const SQL: &str = include_str!("../../sql/conversations/upsert.postgres.sql");

/// What each conversation gets of a batch, in the order in which all nodes touch conversations.
#[derive(Default)]
pub(super) struct Shares<'a>(BTreeMap<[&'a str; 3], Share>);

struct Share {
    messages: i64,
    last_activity_at: Timestamp,
    created_at: Timestamp,
}

/// The participants, and then the channel, byte by byte.
fn order(key: &ConversationKey) -> [&str; 3] {
    [
        key.participant_a().as_str(),
        key.participant_b().as_str(),
        key.channel().as_str(),
    ]
}

impl<'a> Shares<'a> {
    /// Adds a message.
    pub(super) fn add(&mut self, key: &'a ConversationKey, timestamp: Timestamp, processed_at: Timestamp) {
        let share = self.0.entry(order(key)).or_insert(Share {
            messages: 0,
            last_activity_at: timestamp,
            created_at: processed_at,
        });
        share.messages += 1;
        share.last_activity_at = share.last_activity_at.max(timestamp);
        share.created_at = share.created_at.min(processed_at);
    }

    /// Counts the shares into their conversations, which may be new.
    pub(super) async fn upsert(&self, client: &Object, statement: &Statement) -> Result<Vec<Row>, Error> {
        if self.0.is_empty() {
            return Ok(Vec::new());
        }
        let part = |part: usize| self.0.keys().map(|key| key[part]).collect::<Vec<&str>>();
        let messages: Vec<i64> = self.0.values().map(|share| share.messages).collect();
        let time = |time: fn(&Share) -> Timestamp| -> Vec<jiff::Timestamp> {
            self.0.values().map(|share| time(share).into()).collect()
        };
        let params: [&(dyn ToSql + Sync); 6] = [
            &part(2),
            &part(0),
            &part(1),
            &messages,
            &time(|share| share.last_activity_at),
            &time(|share| share.created_at),
        ];
        client.query(statement, &params).await
    }

    /// The conversation of each of these messages, and its place in it. `threads` tells the conversations in our order,
    /// each with the number of messages it has now.
    pub(super) fn places(
        &self,
        messages: impl Iterator<Item = &'a ConversationKey>,
        threads: &[Row],
    ) -> Result<Vec<(ConversationId, i64)>, QueryFailure> {
        let mut last: BTreeMap<[&str; 3], (ConversationId, i64)> = BTreeMap::new();
        for ((key, share), row) in self.0.iter().zip(threads) {
            let mut told = Vec::with_capacity(key.len());
            for column in ["participant_a", "participant_b", "channel"] {
                told.push(rows::get::<&str>(row, column)?);
            }
            if told != key {
                let reason = "conversations were told in another order than asked for";
                return Err(QueryFailure::Refused(reason.to_owned()));
            }
            let count: i64 = rows::get(row, "message_count")?;
            last.insert(*key, (rows::conversation_id(row)?, count - share.messages));
        }
        let missing = || QueryFailure::Refused("a conversation was not told".to_owned());
        let mut places = Vec::new();
        for key in messages {
            let (id, sequence) = last.get_mut(&order(key)).ok_or_else(missing)?;
            *sequence += 1;
            places.push((*id, *sequence));
        }
        Ok(places)
    }
}
