use std::{sync::Arc, time::Duration};

use domain::{LeaseToken, Outcome, ProviderName, Timestamp};
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::rows;
use crate::{Claimed, Leased, Progress, instant_after};

/// The error code of an attempt whose lease expired.
pub(super) const LEASE_EXPIRED: &str = "lease_expired";

/// An entry that is due, or whose lease expired.
pub(super) struct Claimable {
    id: Uuid,
    token: i64,
    progress: Progress,
    lease_expired: bool,
    deadline_in_ms: i64,
    pub(super) bytes: usize,
}

impl Claimable {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("message_id")?,
            token: row.get("lease_token")?,
            progress: read_progress(row)?,
            lease_expired: row.get("lease_expired")?,
            deadline_in_ms: row.get("deadline_in_ms")?,
            bytes: rows::count(row.get::<_, Option<i64>>("bytes")?.unwrap_or(0))?,
        })
    }

    pub(super) fn lease(
        self,
        connection: &Connection,
        provider: &ProviderName,
        now: Timestamp,
        lease: Duration,
    ) -> rusqlite::Result<Claimed> {
        let Self {
            id,
            token,
            mut progress,
            lease_expired,
            deadline_in_ms,
            bytes: _,
        } = self;
        if lease_expired {
            record_expired(connection, id, token, provider, &mut progress, now)?;
        }
        let token = token + 1;
        connection
            .prepare_cached(include_str!("../../sql/outbox/lease.sqlite.sql"))?
            .execute(params![
                id,
                instant_after(now, lease).as_micros(),
                token,
                progress.attempts,
                progress.lost,
                progress.rate_limited_in_a_row,
                progress.unsure,
            ])?;
        let (conversation_id, content) = connection
            .prepare_cached(include_str!("../../sql/messages/get.sqlite.sql"))?
            .query_row([id], |row| {
                Ok((
                    rows::conversation_id(row.get("conversation_id")?)?,
                    Arc::new(rows::content(row)?),
                ))
            })?;
        let leased = Leased {
            id: id.into(),
            conversation_id,
            content,
            token: LeaseToken(token),
            progress,
        };
        Ok(Claimed {
            leased,
            deadline_in: Duration::from_millis(rows::count(deadline_in_ms)?),
            lease_expired,
        })
    }
}

pub(super) fn read_progress(row: &Row<'_>) -> rusqlite::Result<Progress> {
    Ok(Progress {
        attempts: row.get("attempts")?,
        lost: row.get("lost")?,
        counted: row.get("counted")?,
        rate_limited_in_a_row: row.get("rate_limited_in_a_row")?,
        panics: row.get("panics")?,
        not_taken: row.get("not_taken")?,
        unsure: row.get("unsure")?,
    })
}

/// Records the attempt of the worker whose lease expired, because it may have sent the message. The attempt is not counted,
/// because there may have been no call.
pub(super) fn record_expired(
    connection: &Connection,
    id: Uuid,
    token: i64,
    provider: &ProviderName,
    progress: &mut Progress,
    now: Timestamp,
) -> rusqlite::Result<()> {
    progress.attempts += 1;
    progress.lost += 1;
    progress.rate_limited_in_a_row = 0;
    progress.unsure = true;
    connection
        .prepare_cached(include_str!("../../sql/attempts/insert.sqlite.sql"))?
        .execute(params![
            id,
            progress.attempts,
            token,
            provider.as_str(),
            Outcome::Unknown.as_str(),
            LEASE_EXPIRED,
            now.as_micros(),
            0,
            None::<&str>,
        ])?;
    Ok(())
}
