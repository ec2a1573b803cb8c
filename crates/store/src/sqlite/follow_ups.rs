use std::time::Duration;

use async_trait::async_trait;
use domain::{Body, ErrorCode, FollowUp, FollowUpAction, ProviderMessageId, ReceiptStatus, Timestamp};
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::{Sqlite, rows};
use crate::{DueFollowUp, FollowUpKey, FollowUps, StoreError, TakenFollowUps, instant_after};

#[async_trait]
impl FollowUps for Sqlite {
    /// Writes only if something is due: nodes ask every second, and a write is a commit.
    async fn take_follow_ups(&self, limit: u32, lease: Duration) -> Result<TakenFollowUps, StoreError> {
        let (due, next_in) = self
            .read(move |connection, now| Ok((any_due(connection, now)?, time_to_next(connection, now)?)))
            .await?;
        if !due {
            return Ok(TakenFollowUps {
                due: Vec::new(),
                next_in,
            });
        }
        self.write(move |connection, now| {
            let mut due: Vec<DueFollowUp> = connection
                .prepare_cached(include_str!("../../sql/follow_ups/due.sqlite.sql"))?
                .query_map(params![now.as_micros(), limit], read)?
                .collect::<rusqlite::Result<_>>()?;
            let next_in = time_to_next(connection, now)?;
            let taken_until = instant_after(now, lease).as_micros();
            let mut take = connection.prepare_cached(include_str!("../../sql/follow_ups/take.sqlite.sql"))?;
            for DueFollowUp { key, .. } in &due {
                take.execute(params![
                    key.message_id.as_uuid(),
                    key.attempt,
                    key.place,
                    taken_until
                ])?;
            }
            due.sort_unstable_by_key(|follow_up| (follow_up.due_at, follow_up.key));
            Ok(TakenFollowUps { due, next_in })
        })
        .await
    }

    async fn finish_follow_ups(&self, done: &[FollowUpKey]) -> Result<(), StoreError> {
        let done = done.to_vec();
        self.write(move |connection, _| {
            let mut delete =
                connection.prepare_cached(include_str!("../../sql/follow_ups/delete.sqlite.sql"))?;
            for key in done {
                delete.execute(params![key.message_id.as_uuid(), key.attempt, key.place])?;
            }
            Ok(())
        })
        .await
    }
}

/// Stores a follow-up of an attempt; `taken_as` is the provider's id of the message.
pub(super) fn insert(
    connection: &Connection,
    key: FollowUpKey,
    provider: &str,
    taken_as: Option<&ProviderMessageId>,
    follow_up: &FollowUp,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let (status, error_code, body) = match &follow_up.action {
        FollowUpAction::Receipt { status, error_code } => (Some(*status), error_code.as_ref(), None),
        FollowUpAction::Reply { body } => (None, None, Some(body)),
    };
    connection
        .prepare_cached(include_str!("../../sql/follow_ups/insert.sqlite.sql"))?
        .execute(params![
            key.message_id.as_uuid(),
            key.attempt,
            key.place,
            provider,
            taken_as.map(ProviderMessageId::as_str),
            instant_after(now, follow_up.after).as_micros(),
            status.map(ReceiptStatus::as_str),
            error_code.map(ErrorCode::as_str),
            body.map(Body::as_str),
        ])?;
    Ok(())
}

fn any_due(connection: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(include_str!("../../sql/follow_ups/due.sqlite.sql"))?
        .exists(params![now.as_micros(), 1])
}

fn time_to_next(connection: &Connection, now: Timestamp) -> rusqlite::Result<Option<Duration>> {
    let next: Option<i64> = connection
        .prepare_cached(include_str!("../../sql/follow_ups/next.sqlite.sql"))?
        .query_row([now.as_micros()], |row| row.get(0))?;
    let millis = next.map(|next| rows::count((next - now.as_micros()) / 1_000));
    Ok(millis.transpose()?.map(Duration::from_millis))
}

fn read(row: &Row<'_>) -> rusqlite::Result<DueFollowUp> {
    let action = match rows::optional_word(row, "receipt_status")? {
        Some(status) => FollowUpAction::Receipt {
            status,
            error_code: rows::error_code(row, "error_code")?,
        },
        None => FollowUpAction::Reply {
            body: Body::new(row.get::<_, String>("reply_body")?).map_err(|_| rows::corrupt("reply_body"))?,
        },
    };
    Ok(DueFollowUp {
        key: FollowUpKey {
            message_id: row.get::<_, Uuid>("message_id")?.into(),
            attempt: row.get("attempt")?,
            place: row.get("place")?,
        },
        provider: rows::word(row, "provider")?,
        provider_message_id: rows::optional_word(row, "provider_message_id")?,
        due_at: rows::instant(row, "due_at")?,
        action,
    })
}
