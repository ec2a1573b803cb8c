//! Settling: recording the results of leased entries.

use std::collections::HashMap;

use domain::{ErrorCode, FollowUpAction, ProviderMessageId};
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Postgres, millis,
    receipts::{self, ExpiredLeases},
    rows,
};
use crate::{Disposition, Settled, Settlement, StoreError};

pub(super) async fn settle(store: &Postgres, batch: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
    let mut ordered: Vec<&Settlement> = batch.iter().collect();
    ordered.sort_unstable_by_key(|settlement| settlement.id);
    let columns = Columns::of(ordered.iter().copied());
    let follow_ups = follow_ups(&ordered);
    let held = store
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
                &follow_ups,
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
        let repeated = settled_before(store, &others).await.map_err(|error| {
            StoreError::OutcomeUnknown(format!(
                "settled what is held, but lost leases are unclear: {error}"
            ))
        })?;
        settled.extend(repeated.into_iter().map(|lease| (lease, Settled::Applied)));
    }
    // `store_receipt` stores first and looks for an attempt second. This stores attempts first and looks for receipts second.
    // So one of the two sees the other.
    let ids: Vec<&str> = columns.provider_message_id.iter().copied().flatten().collect();
    let retried = columns.id.iter().zip(&columns.attempts);
    let retried: Vec<Uuid> = retried
        .filter(|(_, attempts)| **attempts > 1)
        .map(|(id, _)| *id)
        .collect();
    apply_parked(store, &columns.id, &ids, &retried).await;
    let result = |settlement| {
        settled
            .get(&key(settlement))
            .copied()
            .unwrap_or(Settled::LeaseLost)
    };
    Ok(batch.iter().map(result).collect())
}

/// Applies receipts that came while these messages were leased. They name a message, one of the provider message ids, or one
/// that an attempt of the `retried` messages got.
pub(super) async fn apply_parked(store: &Postgres, messages: &[Uuid], ids: &[&str], retried: &[Uuid]) {
    let applied = async {
        let sql = include_str!("../../sql/receipts/parked.postgres.sql");
        let parked = store.settling.query(sql, &[&messages, &ids, &retried]).await?;
        let parked: Vec<i64> = parked
            .iter()
            .map(|row| rows::get(row, "id"))
            .collect::<Result<_, _>>()?;
        if !parked.is_empty() {
            receipts::apply(&store.settling, &parked, ExpiredLeases::Left, i64::MAX).await?;
        }
        Ok::<_, StoreError>(())
    };
    if let Err(error) = applied.await {
        tracing::warn!(%error, "receipts of messages that were leased are not applied: the next round of housekeeping does it");
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
        provider_message_id,
        ..
    } = others;
    let sql = include_str!("../../sql/attempts/add_late_outcome.postgres.sql");
    store
        .settling
        .query(sql, &[id, token, attempts, outcome, provider_message_id])
        .await?;
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

/// The follow-ups of settlements as a JSON array; `None` without any, as nearly always.
fn follow_ups(settlements: &[&Settlement]) -> Option<String> {
    let rows = settlements.iter().flat_map(|settlement| {
        let places = settlement.follow_ups.iter().enumerate();
        places.map(|(place, follow_up)| {
            let (status, error_code, body) = match &follow_up.action {
                FollowUpAction::Receipt { status, error_code } => (Some(*status), error_code.as_ref(), None),
                FollowUpAction::Reply { body } => (None, None, Some(body)),
            };
            json!({
                "message_id": settlement.id,
                "place": place,
                "after_ms": millis(follow_up.after),
                "receipt_status": status,
                "error_code": error_code,
                "reply_body": body,
            })
        })
    });
    let rows: Vec<Value> = rows.collect();
    (!rows.is_empty()).then(|| Value::from(rows).to_string())
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
            follow_ups: _,
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
