use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use async_trait::async_trait;
use domain::{LeaseToken, MessageId, ProviderName};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Postgres,
    connections::{Connections, STATEMENT_TIMEOUT},
    millis_float, rows, settle,
};
use crate::{
    Canceled, ClaimLimits, Claimed, Claims, DeadLetter, Outbox, QUEUE_COUNTED_MAX, QueueDepth, RedriveFilter,
    RedriveTerms, Redriven, RedrivenBatch, Settled, Settlement, StoreError, UnservedRule,
};

/// Bytes of content that a claim returns itself: what 1 Mbit/s carries in half of the time for a statement.
const INLINE_BYTES_MAX: i64 = 64 << 10;
/// The slowest link to the server, in bytes per second, over which the other content is loaded.
const SLOWEST_LINK_BYTES_PER_SEC: u64 = 32 << 10;

#[async_trait]
impl Outbox for Postgres {
    async fn claim(
        &self,
        provider: &ProviderName,
        limits: ClaimLimits,
        lease: Duration,
    ) -> Result<Claims, StoreError> {
        let claims = match claim_in_time(self, provider, limits, lease).await? {
            // The server's clock may have jumped. The first answer brought its new time.
            None => claim_in_time(self, provider, limits, lease).await?,
            claims => claims,
        };
        Ok(claims.unwrap_or_default())
    }

    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        settle::settle(self, batch).await
    }

    async fn release(&self, leases: &[(MessageId, LeaseToken)]) -> Result<Vec<MessageId>, StoreError> {
        let released = give_back(&self.settling, leases).await?;
        let ids: Vec<Uuid> = released.iter().map(|id| id.as_uuid()).collect();
        settle::apply_parked(self, &ids, &[], &ids).await;
        Ok(released)
    }

    async fn announce(&self, serving: &[ProviderName], gap_max: Duration) -> Result<(), StoreError> {
        let sql = include_str!("../../sql/providers/announce.postgres.sql");
        self.write(sql, &[&names(serving), &millis_float(gap_max)])
            .await
            .map(drop)
    }

    async fn sweep(
        &self,
        serving: &[ProviderName],
        unserved: UnservedRule,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let UnservedRule { after, gap_max } = unserved;
        let rows = self
            .write(
                include_str!("../../sql/outbox/sweep.postgres.sql"),
                &[
                    &names(serving),
                    &i64::from(limit),
                    &millis_float(after),
                    &millis_float(gap_max),
                ],
            )
            .await?;
        let dead_letter = |row| {
            Ok(DeadLetter {
                id: rows::get::<Uuid>(row, "message_id")?.into(),
                provider: rows::word(row, "provider")?,
                channel: rows::word(row, "channel")?,
                reason: rows::word(row, "reason")?,
                lease_expired: rows::get(row, "lease_expired")?,
            })
        };
        rows.iter().map(dead_letter).collect()
    }

    async fn redrive(&self, id: MessageId, terms: &RedriveTerms) -> Result<Redriven, StoreError> {
        let batch = redrive_some(self, Some(id), &RedriveFilter::default(), terms, 1).await?;
        if batch.redriven == 1 {
            return Ok(Redriven::Pending);
        }
        let known = self
            .read(include_str!("../../sql/messages/exists.sql"), &[&id.as_uuid()])
            .await?;
        Ok(if known.is_empty() {
            Redriven::NotFound
        } else {
            Redriven::NotFailed
        })
    }

    async fn cancel(&self, id: MessageId) -> Result<Canceled, StoreError> {
        let id = id.as_uuid();
        let sql = include_str!("../../sql/outbox/cancel.postgres.sql");
        if self.change(sql, &[&id]).await? == 1 {
            return Ok(Canceled::Canceled { now: true });
        }
        // Read after it, so that of two cancels at once the later one sees what the other did.
        let sql = include_str!("../../sql/messages/is_canceled.postgres.sql");
        Ok(match self.read(sql, &[&id]).await?.first() {
            None => Canceled::NotFound,
            Some(row) if rows::get(row, "canceled")? => Canceled::Canceled { now: false },
            Some(_) => Canceled::NotCancelable,
        })
    }

    async fn queue_depths(&self) -> Result<Vec<QueueDepth>, StoreError> {
        let rows = self
            .read(
                include_str!("../../sql/outbox/depths.postgres.sql"),
                &[&(QUEUE_COUNTED_MAX as i64 + 1)],
            )
            .await?;
        let depth = |row| {
            let depth = QueueDepth {
                provider: rows::word(row, "provider")?,
                waiting: rows::count(rows::get(row, "waiting")?)?,
                leased: rows::count(rows::get(row, "leased")?)?,
                dead: rows::count(rows::get(row, "dead")?)?,
                capped: false,
                oldest: Duration::from_millis(rows::count(rows::get(row, "oldest_ms")?)?),
            };
            Ok(depth.capped())
        };
        rows.iter().map(depth).collect()
    }

    async fn redrive_matching(
        &self,
        filter: &RedriveFilter,
        terms: &RedriveTerms,
        limit: u32,
    ) -> Result<RedrivenBatch, StoreError> {
        redrive_some(self, None, filter, terms, limit).await
    }
}

/// `None` if the deadline had passed when the server ran the statement.
async fn claim_in_time(
    store: &Postgres,
    provider: &ProviderName,
    limits: ClaimLimits,
    lease: Duration,
) -> Result<Option<Claims>, StoreError> {
    let sql = include_str!("../../sql/outbox/claim.postgres.sql");
    let rows = store
        .claiming
        .query_by_deadline(
            sql,
            &[
                &provider.as_str(),
                &i64::from(limits.entries),
                &millis_float(lease),
                &i64::try_from(limits.bytes).unwrap_or(i64::MAX),
                &INLINE_BYTES_MAX,
            ],
            &store.server_clock,
        )
        .await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    if rows::get(first, "too_late")? {
        return Ok(None);
    }
    if rows::get::<Option<Uuid>>(first, "id")?.is_none() {
        return Ok(Some(Claims::default()));
    }
    let mut claims = Claims {
        entries: Vec::with_capacity(rows.len()),
        cut_short: rows::get(first, "cut_short")?,
    };
    let mut to_load = BTreeMap::new();
    for row in &rows {
        if rows::get(row, "to_be_loaded")? {
            to_load.insert(rows::get::<Uuid>(row, "id")?, row);
        } else {
            claims.entries.extend(readable(rows::claimed(row, row)));
        }
    }
    if !to_load.is_empty() {
        match load(store, &to_load).await {
            Ok(contents) => {
                let contents = contents.iter().filter_map(|content| {
                    let row = to_load.get(&content.try_get::<_, Uuid>("id").ok()?)?;
                    readable(rows::claimed(row, content))
                });
                claims.entries.extend(contents);
                claims.entries.sort_unstable_by_key(|claimed| claimed.leased.id);
            }
            Err(error) => {
                give_back_unloaded(store, &to_load).await;
                if claims.entries.is_empty() {
                    return Err(error);
                }
                claims.cut_short = true;
            }
        }
    }
    Ok(Some(claims))
}

/// The leases are taken by now: a row that cannot be read must not hold up the others.
fn readable(claimed: Result<Claimed, StoreError>) -> Option<Claimed> {
    claimed
        .inspect_err(|error| {
            tracing::error!(%error, "an outbox entry cannot be read and is skipped: its message waits");
        })
        .ok()
}

/// Loads the content of messages that were claimed without it.
async fn load(store: &Postgres, claimed: &BTreeMap<Uuid, &Row>) -> Result<Vec<Row>, StoreError> {
    let mut bytes = 0;
    for row in claimed.values() {
        bytes = bytes.max(rows::count(rows::get(row, "bytes_so_far")?)?);
    }
    let within = STATEMENT_TIMEOUT + Duration::from_secs(bytes / SLOWEST_LINK_BYTES_PER_SEC);
    let ids: Vec<Uuid> = claimed.keys().copied().collect();
    let sql = include_str!("../../sql/messages/contents.postgres.sql");
    store.claiming.query_within(sql, &[&ids], within).await
}

async fn give_back_unloaded(store: &Postgres, claimed: &BTreeMap<Uuid, &Row>) {
    let lease =
        |(id, row): (&Uuid, &&Row)| Some(((*id).into(), LeaseToken(row.try_get("lease_token").ok()?)));
    let leases: Vec<_> = claimed.iter().filter_map(lease).collect();
    if let Err(error) = give_back(&store.claiming, &leases).await {
        tracing::warn!(%error, "large messages were not loaded and their leases not released: they are sent when the leases expire");
    }
}

async fn give_back(
    connections: &Connections,
    leases: &[(MessageId, LeaseToken)],
) -> Result<Vec<MessageId>, StoreError> {
    // Settlements lock in the same order.
    let mut ordered: Vec<(Uuid, i64)> = leases.iter().map(|(id, token)| (id.as_uuid(), token.0)).collect();
    ordered.sort_unstable();
    let (ids, tokens): (Vec<Uuid>, Vec<i64>) = ordered.into_iter().unzip();
    let sql = include_str!("../../sql/outbox/release.postgres.sql");
    let released = connections.query(sql, &[&ids, &tokens]).await?;
    let id = |row| Ok(rows::get::<Uuid>(row, "message_id")?.into());
    let released: HashSet<MessageId> = released.iter().map(id).collect::<Result<_, StoreError>>()?;
    let held = leases.iter().map(|(id, _)| *id);
    Ok(held.filter(|id| released.contains(id)).collect())
}

fn names(providers: &[ProviderName]) -> Vec<&str> {
    providers.iter().map(ProviderName::as_str).collect()
}

async fn redrive_some(
    store: &Postgres,
    id: Option<MessageId>,
    filter: &RedriveFilter,
    terms: &RedriveTerms,
    limit: u32,
) -> Result<RedrivenBatch, StoreError> {
    let RedriveFilter {
        provider,
        channel,
        reason,
        failed_before,
    } = filter;
    let RedriveTerms {
        deadlines,
        routes,
        kept,
    } = terms;
    let channels: Vec<&str> = routes.keys().map(|channel| channel.as_str()).collect();
    let providers: Vec<&str> = routes.values().map(ProviderName::as_str).collect();
    let rows = store
        .write(
            include_str!("../../sql/outbox/redrive.postgres.sql"),
            &[
                &id.map(MessageId::as_uuid),
                &provider.as_ref().map(ProviderName::as_str),
                &channel.map(domain::Channel::as_str),
                &reason.map(domain::FailureReason::as_str),
                &failed_before.map(jiff::Timestamp::from),
                &millis_float(deadlines.sms),
                &millis_float(deadlines.email),
                &i64::from(limit),
                &channels,
                &providers,
                &names(kept),
            ],
        )
        .await?;
    let told = || StoreError::OutcomeUnknown("redriven, but the answer has no count".to_owned());
    let row = rows.first().ok_or_else(told)?;
    Ok(RedrivenBatch {
        redriven: rows::count(rows::get(row, "redriven")?)?,
        at: rows::get::<jiff::Timestamp>(row, "at")?.into(),
    })
}
