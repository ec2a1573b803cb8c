use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use async_trait::async_trait;
use domain::{ErrorCode, LeaseToken, MessageId, ProviderMessageId, ProviderName};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Postgres,
    connections::{Connections, STATEMENT_TIMEOUT},
    millis, millis_float, rows,
};
use crate::{
    Canceled, ClaimLimits, Claimed, Claims, DeadLetter, Disposition, Outbox, QUEUE_COUNTED_MAX, QueueDepth,
    RedriveFilter, RedriveTerms, Redriven, RedrivenBatch, Settled, Settlement, StoreError, UnservedRule,
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
        let mut ordered: Vec<&Settlement> = batch.iter().collect();
        ordered.sort_unstable_by_key(|settlement| settlement.id);
        let columns = Columns::of(ordered);
        let held = self
            .settling
            .query(
                include_str!("../../sql/outbox/settle.postgres.sql"),
                &[
                    &columns.id,
                    &columns.token,
                    &columns.disposition,
                    &columns.retry_after_ms,
                    &columns.failure_reason,
                    &columns.route,
                    &columns.outcome,
                    &columns.error_code,
                    &columns.occurred_at,
                    &columns.latency_ms,
                    &columns.provider_message_id,
                    &columns.attempts,
                    &columns.counted,
                    &columns.rate_limited_in_a_row,
                    &columns.panics,
                    &columns.not_taken,
                ],
            )
            .await?;
        let mut settled = HashMap::with_capacity(batch.len());
        for row in &held {
            let refused: bool = rows::get(row, "refused")?;
            let result = if refused {
                Settled::RerouteRefused
            } else {
                Settled::Applied
            };
            settled.insert(lease(row)?, result);
        }
        let key = |settlement: &Settlement| (settlement.id.as_uuid(), settlement.token.0);
        let others = Columns::of(batch.iter().filter(|other| !settled.contains_key(&key(other))));
        if !others.id.is_empty() {
            // The held ones are settled by now, and the error must not deny it.
            let repeated = settled_before(self, &others).await.map_err(|error| {
                StoreError::OutcomeUnknown(format!(
                    "settled what is held, but lost leases are unclear: {error}"
                ))
            })?;
            settled.extend(repeated.into_iter().map(|lease| (lease, Settled::Applied)));
        }
        let result = |settlement| {
            settled
                .get(&key(settlement))
                .copied()
                .unwrap_or(Settled::LeaseLost)
        };
        Ok(batch.iter().map(result).collect())
    }

    async fn release(&self, leases: &[(MessageId, LeaseToken)]) -> Result<Vec<MessageId>, StoreError> {
        give_back(&self.settling, leases).await
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
        let _ = id;
        Err(StoreError::Refused("not built yet".to_owned()))
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

/// Which of the settlements without a held lease were applied by an earlier call. The others add their late outcomes.
async fn settled_before(store: &Postgres, others: &Columns<'_>) -> Result<Vec<(Uuid, i64)>, StoreError> {
    let Columns {
        id,
        token,
        attempts,
        outcome,
        route,
        ..
    } = others;
    let sql = include_str!("../../sql/attempts/add_late_outcome.postgres.sql");
    store.settling.query(sql, &[id, token, attempts, outcome]).await?;
    let sql = include_str!("../../sql/attempts/settled.postgres.sql");
    let tried: Vec<bool> = outcome.iter().map(Option::is_some).collect();
    let rows = store
        .settling
        .query(sql, &[id, token, attempts, &tried, route])
        .await?;
    rows.iter().map(lease).collect()
}

fn lease(row: &Row) -> Result<(Uuid, i64), StoreError> {
    Ok((rows::get(row, "message_id")?, rows::get(row, "lease_token")?))
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
    let RedriveTerms { deadlines, routes } = terms;
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

/// Settlements as one array per column.
#[derive(Default)]
struct Columns<'a> {
    id: Vec<Uuid>,
    token: Vec<i64>,
    disposition: Vec<&'static str>,
    retry_after_ms: Vec<Option<i64>>,
    failure_reason: Vec<Option<&'static str>>,
    route: Vec<Option<&'a str>>,
    outcome: Vec<Option<&'static str>>,
    error_code: Vec<Option<&'a str>>,
    occurred_at: Vec<Option<jiff::Timestamp>>,
    latency_ms: Vec<Option<i64>>,
    provider_message_id: Vec<Option<&'a str>>,
    attempts: Vec<i32>,
    counted: Vec<i32>,
    rate_limited_in_a_row: Vec<i32>,
    panics: Vec<i32>,
    not_taken: Vec<i32>,
}

impl<'a> Columns<'a> {
    fn of(settlements: impl IntoIterator<Item = &'a Settlement>) -> Self {
        let mut columns = Self::default();
        for settlement in settlements {
            columns.push(settlement);
        }
        columns
    }

    fn push(&mut self, settlement: &'a Settlement) {
        let Settlement {
            id,
            token,
            tried,
            disposition,
            progress,
        } = settlement;
        let (word, retry_after, reason, route) = match disposition {
            Disposition::Finish => ("finish", None, None, None),
            Disposition::Retry { after } => ("retry", Some(millis(*after)), None, None),
            Disposition::Reroute { provider } => ("reroute", Some(0), None, Some(provider.as_str())),
            Disposition::DeadLetter(reason) => ("dead_letter", None, Some(reason.as_str()), None),
        };
        let tried = tried.as_ref();
        self.id.push(id.as_uuid());
        self.token.push(token.0);
        self.disposition.push(word);
        self.retry_after_ms.push(retry_after);
        self.failure_reason.push(reason);
        self.route.push(route);
        self.outcome.push(tried.map(|tried| tried.outcome.as_str()));
        self.error_code.push(
            tried
                .and_then(|tried| tried.error_code.as_ref())
                .map(ErrorCode::as_str),
        );
        self.occurred_at.push(tried.map(|tried| tried.occurred_at.into()));
        self.latency_ms.push(tried.map(|tried| millis(tried.latency)));
        let provider_message_id = tried.and_then(|tried| tried.provider_message_id.as_ref());
        self.provider_message_id
            .push(provider_message_id.map(ProviderMessageId::as_str));
        self.attempts.push(integer(progress.attempts));
        self.counted.push(integer(progress.counted));
        self.rate_limited_in_a_row
            .push(integer(progress.rate_limited_in_a_row));
        self.panics.push(integer(progress.panics));
        self.not_taken.push(integer(progress.not_taken));
    }
}

fn integer(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
