use std::time::Duration;

use async_trait::async_trait;
use domain::{EventType, FailureReason, LeaseToken, MessageId, ProviderName, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{
    Sqlite,
    claim::Claimable,
    events::NewEvents,
    micros, receipts, rows,
    settle::{Expired, settle_one},
};
use crate::{
    Canceled, ClaimLimits, Claims, DeadLetter, Outbox, QUEUE_COUNTED_MAX, QueueDepth, RedriveFilter,
    RedriveTerms, Redriven, RedrivenBatch, Settled, Settlement, StoreError, UnservedRule, instant_after,
};

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
            let mut events = NewEvents::default();
            let settled = batch
                .iter()
                .map(|settlement| settle_one(connection, settlement, now, &mut events));
            let settled = settled.collect::<rusqlite::Result<_>>()?;
            let ids = batch.iter().map(|settlement| settlement.id);
            receipts::apply_parked(connection, ids, &mut events)?;
            events.write(connection, now)?;
            Ok(settled)
        })
        .await
    }

    async fn release(&self, leases: &[(MessageId, LeaseToken)]) -> Result<Vec<MessageId>, StoreError> {
        let leases = leases.to_vec();
        self.write(move |connection, now| {
            let mut statement =
                connection.prepare_cached(include_str!("../../sql/outbox/release.sqlite.sql"))?;
            let mut released = Vec::new();
            for (id, token) in leases {
                if statement.execute(params![id.as_uuid(), token.0])? > 0 {
                    released.push(id);
                }
            }
            let mut events = NewEvents::default();
            receipts::apply_parked(connection, released.iter().copied(), &mut events)?;
            events.write(connection, now)?;
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
            let mut events = NewEvents::default();
            for entry in expired {
                dead_letters.push(entry.dead_letter(connection, now, &mut events)?);
            }
            events.write(connection, now)?;
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
        self.write(move |connection, now| cancel(connection, id.as_uuid(), now))
            .await
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

fn json_of(providers: &[ProviderName]) -> String {
    let names: Vec<&str> = providers.iter().map(ProviderName::as_str).collect();
    serde_json::Value::from(names).to_string()
}

fn cancel(connection: &Connection, id: Uuid, now: Timestamp) -> rusqlite::Result<Canceled> {
    // No lease and not dead: no call is under way, and none was given up.
    let waits = connection
        .prepare_cached(include_str!("../../sql/outbox/entry.sqlite.sql"))?
        .query_row([id], |row| {
            Ok(row.get::<_, Option<i64>>("leased_until")?.is_none()
                && row.get::<_, Option<i64>>("dead_at")?.is_none())
        })
        .optional()?;
    match waits {
        None => {
            let resolution: Option<String> = connection
                .prepare_cached(include_str!("../../sql/messages/resolution.sqlite.sql"))?
                .query_row([id], |row| row.get("resolution"))
                .optional()?;
            Ok(match resolution.as_deref() {
                None => Canceled::NotFound,
                Some(rows::CANCELED) => Canceled::Canceled { now: false },
                Some(_) => Canceled::NotCancelable,
            })
        }
        Some(false) => Ok(Canceled::NotCancelable),
        Some(true) => {
            let unsure = connection
                .prepare_cached(include_str!("../../sql/attempts/any_unsure.sqlite.sql"))?
                .exists([id])?;
            if unsure {
                return Ok(Canceled::NotCancelable);
            }
            connection
                .prepare_cached(include_str!("../../sql/outbox/delete.sqlite.sql"))?
                .execute([id])?;
            let conversation_id: i64 = connection
                .prepare_cached(include_str!("../../sql/messages/cancel.sqlite.sql"))?
                .query_row([id], |row| row.get(0))?;
            let mut events = NewEvents::default();
            events.of_message(
                EventType::MessageCanceled,
                id,
                rows::conversation_id(conversation_id)?,
            );
            events.write(connection, now)?;
            Ok(Canceled::Canceled { now: true })
        }
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
    let dead: Vec<(Uuid, domain::Channel, ProviderName)> = connection
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
            |row| {
                Ok((
                    row.get("message_id")?,
                    rows::word(row, "channel")?,
                    rows::word(row, "provider")?,
                ))
            },
        )?
        .collect::<rusqlite::Result<_>>()?;
    for (id, channel, provider) in &dead {
        let deadline_at = instant_after(now, terms.deadlines.of(*channel)).as_micros();
        let route = terms
            .routes
            .get(channel)
            .filter(|_| !terms.kept.contains(provider));
        let route = route.map(ProviderName::as_str);
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

/// Expires the leases of the previous process, so that their entries and endpoints can be leased.
pub(super) fn expire_leases(connection: &Connection) -> rusqlite::Result<()> {
    let migrated = connection
        .prepare("select 1 from sqlite_schema where name = 'outbox'")?
        .exists([])?;
    if migrated {
        connection.execute(include_str!("../../sql/outbox/expire_leases.sqlite.sql"), [])?;
        connection.execute(
            include_str!("../../sql/webhook_endpoints/release_all.sqlite.sql"),
            [],
        )?;
    }
    Ok(())
}
