use std::time::Duration;

use async_trait::async_trait;
use domain::{
    ErrorCode, MessageId, Page, PageRequest, ProviderMessageId, ProviderName, Receipt, ReceiptPosition,
    TOTAL_COUNTED_MAX, Total,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Postgres, connections::Connections, millis_float, rows};
use crate::{AppliedReceipt, Receipts, StoreError, StoredReceipt};

/// How many unmatched receipts a statement looks at, and one call of `match_receipts` altogether, the latest first.
const EXAMINED_AT_ONCE: i64 = 5_000;
const EXAMINED_MAX: i64 = 100_000;

#[async_trait]
impl Receipts for Postgres {
    async fn store_receipt(&self, receipt: &Receipt) -> Result<Option<AppliedReceipt>, StoreError> {
        let stored = self
            .write(
                include_str!("../../sql/receipts/insert.postgres.sql"),
                &[
                    &receipt.provider.as_ref().map(ProviderName::as_str),
                    &receipt
                        .provider_message_id
                        .as_ref()
                        .map(ProviderMessageId::as_str),
                    &receipt.message_id.map(MessageId::as_uuid),
                    &receipt.status.as_str(),
                    &receipt.error_code.as_ref().map(ErrorCode::as_str),
                    &jiff::Timestamp::from(receipt.at),
                    &jiff::Timestamp::from(receipt.received_at),
                ],
            )
            .await?;
        let applied = match stored.first() {
            Some(row) => apply_stored(self, rows::get(row, "id")?).await,
            None => Ok(None),
        };
        Ok(applied.unwrap_or_else(|error| {
            tracing::warn!(%error, "a stored receipt was not applied: the next round of housekeeping does it");
            None
        }))
    }

    async fn match_receipts(&self, within: Duration, limit: u32) -> Result<Vec<AppliedReceipt>, StoreError> {
        let sql = include_str!("../../sql/receipts/recent.postgres.sql");
        let (mut before, mut applied) = (i64::MAX, Vec::new());
        for _ in 0..EXAMINED_MAX / EXAMINED_AT_ONCE {
            let recent = self
                .read(sql, &[&millis_float(within), &EXAMINED_AT_ONCE, &before])
                .await?;
            let mut matching: Vec<i64> = Vec::new();
            for row in &recent {
                before = rows::get(row, "id")?;
                if rows::get(row, "may_match")? {
                    matching.push(before);
                }
            }
            if !matching.is_empty() {
                let left = i64::from(limit) - applied.len() as i64;
                applied.extend(apply(&self.others, &matching, ExpiredLeases::Recorded, left).await?);
            }
            if recent.len() < EXAMINED_AT_ONCE as usize || applied.len() >= limit as usize {
                break;
            }
        }
        Ok(applied)
    }

    async fn receipts(
        &self,
        matched: Option<bool>,
        page: &PageRequest<ReceiptPosition>,
    ) -> Result<Page<StoredReceipt, ReceiptPosition>, StoreError> {
        let before = page.after().and_then(|position| i64::try_from(position.0).ok());
        let before = before.unwrap_or(i64::MAX);
        let (limit, offset) = (i64::from(page.size()) + 1, page.offset() as i64);
        let count_max = TOTAL_COUNTED_MAX as i64 + 1;
        let sql = include_str!("../../sql/receipts/list.postgres.sql");
        let found = self
            .read(sql, &[&limit, &offset, &before, &matched, &count_max])
            .await?;
        let total = found.first().map_or(Ok(0), |row| rows::get(row, "total"))?;
        let mut items = Vec::with_capacity(found.len());
        // An empty page is one row without a receipt.
        for row in &found {
            if rows::get::<Option<i64>>(row, "id")?.is_some() {
                items.push(rows::stored_receipt(row)?);
            }
        }
        let total = Total::capped(rows::count(total)?);
        Ok(Page::of(page, items, total, |stored| stored.position))
    }

    async fn purge_receipts(&self, kept: Duration, limit: u32) -> Result<u64, StoreError> {
        let sql = include_str!("../../sql/receipts/purge.postgres.sql");
        self.change(sql, &[&millis_float(kept), &i64::from(limit)]).await
    }
}

/// What applying a receipt does with an entry whose lease has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExpiredLeases {
    /// It records the expired attempt, and takes the receipt as proof.
    Recorded,
    /// It leaves the entry and the receipt alone.
    Left,
}

/// Applies those of these receipts that match by now.
pub(super) async fn apply(
    connections: &Connections,
    receipts: &[i64],
    expired: ExpiredLeases,
    limit: i64,
) -> Result<Vec<AppliedReceipt>, StoreError> {
    let sql = include_str!("../../sql/receipts/apply.postgres.sql");
    let expired = expired == ExpiredLeases::Recorded;
    let applied = connections.query(sql, &[&receipts, &expired, &limit]).await?;
    let applied = applied.iter().map(|row| {
        let expired_at = rows::get::<Option<String>>(row, "expired_at_provider")?;
        let lease_expired = match expired_at {
            Some(_) => Some((
                rows::word(row, "expired_at_provider")?,
                rows::word(row, "channel")?,
            )),
            None => None,
        };
        Ok(AppliedReceipt {
            message_id: message_id(row)?,
            lease_expired,
        })
    });
    applied.collect()
}

async fn apply_stored(store: &Postgres, receipt: i64) -> Result<Option<AppliedReceipt>, StoreError> {
    let mut applied = apply(&store.others, &[receipt], ExpiredLeases::Recorded, 1).await?;
    if let Some(applied) = applied.pop() {
        return Ok(Some(applied));
    }
    // A settlement may have applied it meanwhile.
    let sql = include_str!("../../sql/receipts/applied_to.postgres.sql");
    let rows = store.read(sql, &[&receipt]).await?;
    let applied = rows.first().map(|row| {
        Ok(AppliedReceipt {
            message_id: message_id(row)?,
            lease_expired: None,
        })
    });
    applied.transpose()
}

fn message_id(row: &Row) -> Result<MessageId, StoreError> {
    Ok(rows::get::<Uuid>(row, "message_id")?.into())
}
