use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    ErrorCode, FailureReason, LeaseToken, MessageId, Outcome, ProviderMessageId, ProviderName, Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{Sqlite, micros, rows};
use crate::{
    Canceled, ClaimLimits, Claimed, Claims, DeadLetter, Disposition, Leased, Outbox, Progress,
    QUEUE_COUNTED_MAX, QueueDepth, RedriveFilter, RedriveTerms, Redriven, RedrivenBatch, Settled, Settlement,
    StoreError, UnservedRule, instant_after,
};

/// The error code of an attempt whose lease expired.
const WORKER_VANISHED: &str = "lease_expired";

#[async_trait]
impl Outbox for Sqlite {
    async fn claim(
        &self,
        provider: &ProviderName,
        limits: ClaimLimits,
        lease: Duration,
    ) -> Result<Claims, StoreError> {
        let provider = provider.clone();
        self.write(move |connection, now| {
            let claimable: Vec<Claimable> = connection
                .prepare_cached(include_str!("../../sql/outbox/claimable.sqlite.sql"))?
                .query_map(
                    params![provider.as_str(), now.as_micros(), limits.entries],
                    Claimable::read,
                )?
                .collect::<rusqlite::Result<_>>()?;
            let mut claims = Claims {
                entries: Vec::with_capacity(claimable.len()),
                cut_short: false,
            };
            let mut bytes = 0;
            for (place, entry) in claimable.into_iter().enumerate() {
                bytes += entry.bytes;
                if place > 0 && bytes > limits.bytes {
                    claims.cut_short = true;
                    break;
                }
                match entry.lease(connection, &provider, now, lease) {
                    Ok(entry) => claims.entries.push(entry),
                    // An entry that cannot be read, or has no message, must not hold up the others.
                    Err(
                        error @ (rusqlite::Error::FromSqlConversionFailure(..)
                        | rusqlite::Error::QueryReturnedNoRows),
                    ) => {
                        tracing::error!(%error, "an outbox entry cannot be read and is skipped: its message waits");
                    }
                    Err(error) => return Err(error),
                }
            }
            claims.entries.sort_unstable_by_key(|claimed| claimed.leased.id);
            Ok(claims)
        })
        .await
    }

    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let batch = batch.to_vec();
        self.write(move |connection, now| {
            let settled = batch
                .iter()
                .map(|settlement| settle_one(connection, settlement, now));
            settled.collect()
        })
        .await
    }

    async fn release(&self, leases: &[(MessageId, LeaseToken)]) -> Result<Vec<MessageId>, StoreError> {
        let leases = leases.to_vec();
        self.write(move |connection, _| {
            let mut statement =
                connection.prepare_cached(include_str!("../../sql/outbox/release.sqlite.sql"))?;
            let mut released = Vec::new();
            for (id, token) in leases {
                if statement.execute(params![id.as_uuid(), token.0])? > 0 {
                    released.push(id);
                }
            }
            Ok(released)
        })
        .await
    }

    async fn announce(&self, serving: &[ProviderName], gap_max: Duration) -> Result<(), StoreError> {
        let serving = json_of(serving);
        self.write(move |connection, now| {
            connection
                .prepare_cached(include_str!("../../sql/providers/announce.sqlite.sql"))?
                .execute(params![now.as_micros(), serving, micros(gap_max)])?;
            Ok(())
        })
        .await
    }

    async fn sweep(
        &self,
        serving: &[ProviderName],
        unserved: UnservedRule,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let serving = json_of(serving);
        let UnservedRule { after, gap_max } = unserved;
        self.write(move |connection, now| {
            let expired: Vec<Expired> = connection
                .prepare_cached(include_str!("../../sql/outbox/expired.sqlite.sql"))?
                .query_map(
                    params![now.as_micros(), serving, limit, micros(after), micros(gap_max)],
                    Expired::read,
                )?
                .collect::<rusqlite::Result<_>>()?;
            let mut dead_letters = Vec::with_capacity(expired.len());
            for entry in expired {
                dead_letters.push(entry.dead_letter(connection, now)?);
            }
            Ok(dead_letters)
        })
        .await
    }

    async fn redrive(&self, id: MessageId, terms: &RedriveTerms) -> Result<Redriven, StoreError> {
        let terms = terms.clone();
        self.write(move |connection, now| {
            if redrive_some(connection, Some(id), &RedriveFilter::default(), &terms, 1, now)? == 1 {
                return Ok(Redriven::Pending);
            }
            let known = connection
                .prepare_cached(include_str!("../../sql/messages/exists.sql"))?
                .exists([id.as_uuid()])?;
            Ok(if known {
                Redriven::NotFailed
            } else {
                Redriven::NotFound
            })
        })
        .await
    }

    async fn redrive_matching(
        &self,
        filter: &RedriveFilter,
        terms: &RedriveTerms,
        limit: u32,
    ) -> Result<RedrivenBatch, StoreError> {
        let (filter, terms) = (filter.clone(), terms.clone());
        self.write(move |connection, now| {
            let redriven = redrive_some(connection, None, &filter, &terms, limit, now)?;
            Ok(RedrivenBatch { redriven, at: now })
        })
        .await
    }

    async fn cancel(&self, id: MessageId) -> Result<Canceled, StoreError> {
        let _ = id;
        Err(StoreError::Refused("not built yet".to_owned()))
    }

    async fn queue_depths(&self) -> Result<Vec<QueueDepth>, StoreError> {
        self.read(move |connection, now| {
            let providers: Vec<ProviderName> = connection
                .prepare_cached(include_str!("../../sql/outbox/providers.sqlite.sql"))?
                .query_map([], |row| rows::word(row, "provider"))?
                .collect::<rusqlite::Result<_>>()?;
            let mut count = connection.prepare_cached(include_str!("../../sql/outbox/depth.sqlite.sql"))?;
            let depth = |provider: ProviderName| {
                let parameters = params![provider.as_str(), now.as_micros(), QUEUE_COUNTED_MAX as i64 + 1];
                let depth = count.query_row(parameters, |row| {
                    Ok(QueueDepth {
                        waiting: rows::count(row.get("waiting")?)?,
                        leased: rows::count(row.get("leased")?)?,
                        dead: rows::count(row.get("dead")?)?,
                        capped: false,
                        oldest: Duration::from_millis(rows::count(row.get("oldest_ms")?)?),
                        provider: provider.clone(),
                    })
                });
                depth.map(QueueDepth::capped)
            };
            providers.into_iter().map(depth).collect()
        })
        .await
    }
}

/// An entry that is due, or whose lease expired.
struct Claimable {
    id: Uuid,
    token: i64,
    progress: Progress,
    lease_expired: bool,
    deadline_in_ms: i64,
    bytes: usize,
}

impl Claimable {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("message_id")?,
            token: row.get("lease_token")?,
            progress: read_progress(row)?,
            lease_expired: row.get("lease_expired")?,
            deadline_in_ms: row.get("deadline_in_ms")?,
            bytes: rows::count(row.get::<_, Option<i64>>("bytes")?.unwrap_or(0))?,
        })
    }

    fn lease(
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

fn read_progress(row: &Row<'_>) -> rusqlite::Result<Progress> {
    Ok(Progress {
        attempts: row.get("attempts")?,
        counted: row.get("counted")?,
        rate_limited_in_a_row: row.get("rate_limited_in_a_row")?,
        panics: row.get("panics")?,
        not_taken: row.get("not_taken")?,
        unsure: row.get("unsure")?,
    })
}

/// Records the attempt of the worker whose lease expired, because it may have sent the message. The attempt is not counted,
/// because there may have been no call.
fn record_expired(
    connection: &Connection,
    id: Uuid,
    token: i64,
    provider: &ProviderName,
    progress: &mut Progress,
    now: Timestamp,
) -> rusqlite::Result<()> {
    progress.attempts += 1;
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
            WORKER_VANISHED,
            now.as_micros(),
            0,
            None::<&str>,
        ])?;
    Ok(())
}

fn settle_one(connection: &Connection, settlement: &Settlement, now: Timestamp) -> rusqlite::Result<Settled> {
    let Settlement {
        id,
        token,
        tried,
        disposition,
        progress,
    } = settlement;
    let id = id.as_uuid();
    let held: Option<(String, bool)> = connection
        .prepare_cached(include_str!("../../sql/outbox/held.sqlite.sql"))?
        .query_row(params![id, token.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((provider, unsure)) = held else {
        return settle_late(connection, settlement);
    };
    let outcome = tried.as_ref().map(|tried| tried.outcome);
    let progress = Progress {
        unsure: unsure || outcome.is_some_and(Outcome::is_unsure),
        ..*progress
    };
    if matches!(disposition, Disposition::Reroute { .. })
        && (progress.unsure || outcome == Some(Outcome::Success))
    {
        return Ok(Settled::RerouteRefused);
    }
    if let Some(tried) = tried {
        connection
            .prepare_cached(include_str!("../../sql/attempts/insert.sqlite.sql"))?
            .execute(params![
                id,
                progress.attempts,
                token.0,
                provider,
                tried.outcome.as_str(),
                tried.error_code.as_ref().map(ErrorCode::as_str),
                tried.occurred_at.as_micros(),
                i64::try_from(tried.latency.as_millis()).unwrap_or(i64::MAX),
                tried.provider_message_id.as_ref().map(ProviderMessageId::as_str),
            ])?;
    }
    match disposition {
        Disposition::Finish => {
            connection
                .prepare_cached(include_str!("../../sql/outbox/delete.sqlite.sql"))?
                .execute([id])?;
        }
        Disposition::Retry { after } => {
            let due_at = instant_after(now, *after);
            keep(connection, id, &progress, Next::Due(due_at, None))?;
        }
        Disposition::Reroute { provider } => {
            keep(connection, id, &progress, Next::Due(now, Some(provider)))?;
            connection
                .prepare_cached(include_str!("../../sql/messages/reroute.sqlite.sql"))?
                .execute(params![id, provider.as_str()])?;
        }
        Disposition::DeadLetter(reason) => {
            let error_code: Option<String> = connection
                .prepare_cached(include_str!("../../sql/attempts/last_error.sqlite.sql"))?
                .query_row([id], |row| row.get(0))
                .optional()?
                .flatten();
            keep(
                connection,
                id,
                &progress,
                Next::Dead(now, *reason, error_code.as_deref()),
            )?;
        }
    }
    Ok(Settled::Applied)
}

/// A settlement whose lease is lost adds its late outcome. It may also repeat one that was applied.
fn settle_late(connection: &Connection, settlement: &Settlement) -> rusqlite::Result<Settled> {
    let Settlement {
        id,
        token,
        tried,
        disposition,
        progress,
    } = settlement;
    let id = id.as_uuid();
    if let Some(tried) = tried {
        connection
            .prepare_cached(include_str!("../../sql/attempts/add_late_outcome.sqlite.sql"))?
            .execute(params![id, token.0, progress.attempts, tried.outcome.as_str()])?;
    }
    let route = match disposition {
        Disposition::Reroute { provider } => Some(provider.as_str()),
        _ => None,
    };
    let applied_before = connection
        .prepare_cached(include_str!("../../sql/attempts/settled.sqlite.sql"))?
        .exists(params![id, token.0, progress.attempts, tried.is_some(), route])?;
    Ok(if applied_before {
        Settled::Applied
    } else {
        Settled::LeaseLost
    })
}

/// The next state of a settled entry.
enum Next<'a> {
    /// Due at this time, at another provider if one is given.
    Due(Timestamp, Option<&'a ProviderName>),
    /// Dead since this time, with the last error code.
    Dead(Timestamp, FailureReason, Option<&'a str>),
}

fn keep(connection: &Connection, id: Uuid, progress: &Progress, next: Next<'_>) -> rusqlite::Result<()> {
    let (due_at, provider, dead_at, reason, error_code) = match next {
        Next::Due(at, provider) => (Some(at), provider, None, None, None),
        Next::Dead(at, reason, error_code) => (None, None, Some(at), Some(reason), error_code),
    };
    connection
        .prepare_cached(include_str!("../../sql/outbox/settle.sqlite.sql"))?
        .execute(params![
            id,
            due_at.map(Timestamp::as_micros),
            dead_at.map(Timestamp::as_micros),
            progress.attempts,
            progress.counted,
            progress.rate_limited_in_a_row,
            progress.panics,
            progress.unsure,
            reason.map(FailureReason::as_str),
            error_code,
            provider.map(ProviderName::as_str),
            progress.not_taken,
        ])?;
    Ok(())
}

fn json_of(providers: &[ProviderName]) -> String {
    let names: Vec<&str> = providers.iter().map(ProviderName::as_str).collect();
    serde_json::Value::from(names).to_string()
}

/// An entry without a lease that can no longer be sent.
struct Expired {
    dead_letter: DeadLetter,
    token: i64,
    progress: Progress,
    error_code: Option<String>,
}

impl Expired {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            dead_letter: DeadLetter {
                id: row.get::<_, Uuid>("message_id")?.into(),
                provider: rows::word(row, "provider")?,
                channel: rows::word(row, "channel")?,
                reason: rows::word(row, "reason")?,
                lease_expired: row.get("lease_expired")?,
            },
            token: row.get("lease_token")?,
            progress: read_progress(row)?,
            error_code: row.get("error_code")?,
        })
    }

    fn dead_letter(self, connection: &Connection, now: Timestamp) -> rusqlite::Result<DeadLetter> {
        let Self {
            dead_letter,
            token,
            mut progress,
            mut error_code,
        } = self;
        let id = dead_letter.id.as_uuid();
        if dead_letter.lease_expired {
            record_expired(connection, id, token, &dead_letter.provider, &mut progress, now)?;
            error_code = Some(WORKER_VANISHED.to_owned());
        }
        let dead = Next::Dead(now, dead_letter.reason, error_code.as_deref());
        keep(connection, id, &progress, dead)?;
        Ok(dead_letter)
    }
}

fn redrive_some(
    connection: &Connection,
    id: Option<MessageId>,
    filter: &RedriveFilter,
    terms: &RedriveTerms,
    limit: u32,
    now: Timestamp,
) -> rusqlite::Result<u64> {
    let RedriveFilter {
        provider,
        channel,
        reason,
        failed_before,
    } = filter;
    let dead: Vec<(Uuid, domain::Channel)> = connection
        .prepare_cached(include_str!("../../sql/outbox/dead.sqlite.sql"))?
        .query_map(
            params![
                id.map(MessageId::as_uuid),
                provider.as_ref().map(ProviderName::as_str),
                channel.map(domain::Channel::as_str),
                reason.map(FailureReason::as_str),
                failed_before.map(Timestamp::as_micros),
                limit,
            ],
            |row| Ok((row.get("message_id")?, rows::word(row, "channel")?)),
        )?
        .collect::<rusqlite::Result<_>>()?;
    for (id, channel) in &dead {
        let deadline_at = instant_after(now, terms.deadlines.of(*channel)).as_micros();
        let route = terms.routes.get(channel).map(ProviderName::as_str);
        connection
            .prepare_cached(include_str!("../../sql/outbox/revive.sqlite.sql"))?
            .execute(params![id, now.as_micros(), deadline_at, route])?;
        if route.is_some() {
            connection
                .prepare_cached(include_str!("../../sql/messages/reroute.sqlite.sql"))?
                .execute(params![id, route])?;
        }
    }
    Ok(dead.len() as u64)
}

/// Expires the leases of the previous process, so that their entries can be claimed.
pub(super) fn expire_leases(connection: &Connection) -> rusqlite::Result<()> {
    let migrated = connection
        .prepare("select 1 from sqlite_schema where name = 'outbox'")?
        .exists([])?;
    if migrated {
        connection.execute(include_str!("../../sql/outbox/expire_leases.sqlite.sql"), [])?;
    }
    Ok(())
}
