use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Channel, Delivery, ErrorCode, EventSubject, EventType, LeaseToken, MessageId, Page, PageRequest,
    ProviderMessageId, ProviderName, Receipt, ReceiptPosition, Status, TOTAL_COUNTED_MAX, Timestamp, Total,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{
    Sqlite,
    claim::{read_progress, record_expired},
    events::NewEvents,
    micros, rows,
};
use crate::{AppliedReceipt, RECEIPTS_SHOWN_MAX, Receipts, StoreError, StoredReceipt};

/// The latest unmatched receipts that one round looks at.
const EXAMINED_MAX: u32 = 100_000;

#[async_trait]
impl Receipts for Sqlite {
    async fn store_receipt(&self, receipt: &Receipt) -> Result<Option<AppliedReceipt>, StoreError> {
        let receipt = receipt.clone();
        self.write(move |connection, now| {
            let mut events = NewEvents::default();
            let applied = match matching(connection, &receipt)? {
                Some(id) => {
                    let lease_expired = record_expired_lease(connection, id, now)?;
                    let applied = apply(connection, id, &[&receipt], &mut events)?;
                    applied.then(|| AppliedReceipt {
                        message_id: id.into(),
                        lease_expired,
                    })
                }
                None => None,
            };
            connection
                .prepare_cached(include_str!("../../sql/receipts/insert.sqlite.sql"))?
                .execute(params![
                    receipt.provider.as_ref().map(ProviderName::as_str),
                    receipt
                        .provider_message_id
                        .as_ref()
                        .map(ProviderMessageId::as_str),
                    receipt.message_id.map(MessageId::as_uuid),
                    applied.as_ref().map(|applied| applied.message_id.as_uuid()),
                    receipt.status.as_str(),
                    receipt.error_code.as_ref().map(ErrorCode::as_str),
                    receipt.at.as_micros(),
                    receipt.received_at.as_micros(),
                ])?;
            events.write(connection, now)?;
            Ok(applied)
        })
        .await
    }

    /// Looks for them on a connection for reading, because the writing thread has other work.
    async fn match_receipts(&self, within: Duration, limit: u32) -> Result<Vec<AppliedReceipt>, StoreError> {
        let numbers: Vec<i64> = self
            .read(move |connection, now| {
                let earliest = now.as_micros().saturating_sub(micros(within));
                connection
                    .prepare_cached(include_str!("../../sql/receipts/matching.sqlite.sql"))?
                    .query_map(params![earliest, EXAMINED_MAX], |row| row.get(0))?
                    .collect()
            })
            .await?;
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        self.write(move |connection, now| {
            let mut get =
                connection.prepare_cached(include_str!("../../sql/receipts/get_unmatched.sqlite.sql"))?;
            let mut parked: BTreeMap<Uuid, Vec<StoredReceipt>> = BTreeMap::new();
            let mut chosen = 0;
            for number in numbers {
                if chosen >= limit {
                    break;
                }
                let Some(unmatched) = get.query_row([number], rows::receipt).optional()? else {
                    continue;
                };
                let Some(id) = matching(connection, &unmatched.receipt)? else {
                    continue;
                };
                if !is_held(entry(connection, id)?.as_ref(), now) {
                    parked.entry(id).or_default().push(unmatched);
                    chosen += 1;
                }
            }
            let mut events = NewEvents::default();
            let mut applied = Vec::new();
            for (id, receipts) in &parked {
                let mut lease_expired = record_expired_lease(connection, *id, now)?;
                apply_stored(connection, *id, receipts, &mut events)?;
                applied.extend(receipts.iter().map(|_| AppliedReceipt {
                    message_id: (*id).into(),
                    lease_expired: lease_expired.take(),
                }));
            }
            events.write(connection, now)?;
            Ok(applied)
        })
        .await
    }

    async fn receipts(
        &self,
        matched: Option<bool>,
        page: &PageRequest<ReceiptPosition>,
    ) -> Result<Page<StoredReceipt, ReceiptPosition>, StoreError> {
        let page = *page;
        let (list, count) = match matched {
            None => (
                include_str!("../../sql/receipts/list.sqlite.sql"),
                include_str!("../../sql/receipts/count.sqlite.sql"),
            ),
            Some(true) => (
                include_str!("../../sql/receipts/list_matched.sqlite.sql"),
                include_str!("../../sql/receipts/count_matched.sqlite.sql"),
            ),
            Some(false) => (
                include_str!("../../sql/receipts/list_unmatched.sqlite.sql"),
                include_str!("../../sql/receipts/count_unmatched.sqlite.sql"),
            ),
        };
        self.read(move |connection, _| {
            let before = page.after().map_or(i64::MAX, |position| position.0.cast_signed());
            let found = connection
                .prepare_cached(list)?
                .query_map(
                    params![before, page.size() + 1, page.offset().cast_signed()],
                    rows::receipt,
                )?
                .collect::<rusqlite::Result<_>>()?;
            let counted = connection
                .prepare_cached(count)?
                .query_row([TOTAL_COUNTED_MAX.cast_signed() + 1], |row| row.get(0))?;
            let total = Total::capped(rows::count(counted)?);
            Ok(Page::of(&page, found, total, |stored| stored.position))
        })
        .await
    }

    async fn purge_receipts(&self, kept: Duration, limit: u32) -> Result<u64, StoreError> {
        self.write(move |connection, now| {
            let oldest = now.as_micros().saturating_sub(micros(kept));
            let purged = connection
                .prepare_cached(include_str!("../../sql/receipts/purge.sqlite.sql"))?
                .execute(params![oldest, limit])?;
            Ok(purged as u64)
        })
        .await
    }
}

/// The receipts of a message that a read returns, in the order in which they came.
pub(super) fn of_message(connection: &Connection, id: Uuid) -> rusqlite::Result<Vec<Receipt>> {
    let mut receipts: Vec<Receipt> = connection
        .prepare_cached(include_str!("../../sql/receipts/of_message.sqlite.sql"))?
        .query_map(params![id, RECEIPTS_SHOWN_MAX as i64], |row| {
            Ok(rows::receipt(row)?.receipt)
        })?
        .collect::<rusqlite::Result<_>>()?;
    receipts.reverse();
    Ok(receipts)
}

/// Applies receipts that came while these messages were leased. Entries that are leased still are left alone.
pub(super) fn apply_parked(
    connection: &Connection,
    settled: impl Iterator<Item = MessageId>,
    events: &mut NewEvents,
) -> rusqlite::Result<()> {
    let any = connection
        .prepare_cached(include_str!("../../sql/receipts/any_unmatched.sqlite.sql"))?
        .exists([])?;
    if !any {
        return Ok(());
    }
    let settled: BTreeSet<Uuid> = settled.map(MessageId::as_uuid).collect();
    for id in settled {
        let mut parked: Vec<StoredReceipt> = connection
            .prepare_cached(include_str!("../../sql/receipts/unmatched_of.sqlite.sql"))?
            .query_map([id], rows::receipt)?
            .collect::<rusqlite::Result<_>>()?;
        let mut error = None;
        parked.retain(|stored| match matching(connection, &stored.receipt) {
            Ok(matched) => matched == Some(id),
            Err(found) => {
                error = Some(found);
                false
            }
        });
        error.map_or(Ok(()), Err)?;
        apply_stored(connection, id, &parked, events)?;
    }
    Ok(())
}

/// Applies stored receipts to the message that they match, and marks them.
fn apply_stored(
    connection: &Connection,
    id: Uuid,
    stored: &[StoredReceipt],
    events: &mut NewEvents,
) -> rusqlite::Result<()> {
    let receipts: Vec<&Receipt> = stored.iter().map(|stored| &stored.receipt).collect();
    if apply(connection, id, &receipts, events)? {
        let mut mark = connection.prepare_cached(include_str!("../../sql/receipts/match.sqlite.sql"))?;
        for stored in stored {
            mark.execute(params![stored.position.0.cast_signed(), id])?;
        }
    }
    Ok(())
}

/// The message that a receipt is about, by the attempts on record.
fn matching(connection: &Connection, receipt: &Receipt) -> rusqlite::Result<Option<Uuid>> {
    let provider = receipt.provider.as_ref().map(ProviderName::as_str);
    if let Some(provider_message_id) = &receipt.provider_message_id {
        let messages: Vec<Uuid> = connection
            .prepare_cached(include_str!(
                "../../sql/attempts/messages_of_provider_message_id.sqlite.sql"
            ))?
            .query_map(params![provider_message_id.as_str(), provider], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        if let [id] = messages[..] {
            return Ok(Some(id));
        }
    }
    let Some(id) = receipt.message_id.map(MessageId::as_uuid) else {
        return Ok(None);
    };
    let may_be_taken = connection
        .prepare_cached(include_str!("../../sql/attempts/named.sqlite.sql"))?
        .exists(params![id, provider])?;
    Ok(may_be_taken.then_some(id))
}

fn entry(connection: &Connection, id: Uuid) -> rusqlite::Result<Option<Entry>> {
    connection
        .prepare_cached(include_str!("../../sql/outbox/entry.sqlite.sql"))?
        .query_row([id], Entry::read)
        .optional()
}

fn is_held(entry: Option<&Entry>, now: Timestamp) -> bool {
    let until = entry.and_then(|entry| entry.leased_until);
    until.is_some_and(|until| until > now)
}

/// If the lease of a message's entry has expired, records the attempt of its holder and gives the lease back.
/// Returns the provider and channel of the attempt that it records.
fn record_expired_lease(
    connection: &Connection,
    id: Uuid,
    now: Timestamp,
) -> rusqlite::Result<Option<(ProviderName, Channel)>> {
    let expired = entry(connection, id)?.filter(|entry| entry.leased_until.is_some_and(|until| until <= now));
    let Some(Entry {
        provider,
        channel,
        token,
        mut progress,
        ..
    }) = expired
    else {
        return Ok(None);
    };
    record_expired(connection, id, token.0, &provider, &mut progress, now)?;
    connection
        .prepare_cached(include_str!("../../sql/outbox/release.sqlite.sql"))?
        .execute(params![id, token.0])?;
    Ok(Some((provider, channel)))
}

/// Applies receipts, which prove that a provider has the message. False if its entry is leased: then they wait.
fn apply(
    connection: &Connection,
    id: Uuid,
    receipts: &[&Receipt],
    events: &mut NewEvents,
) -> rusqlite::Result<bool> {
    let Some(said) = Delivery::fold(receipts.iter().copied()) else {
        return Ok(false);
    };
    let entry = entry(connection, id)?;
    if entry.as_ref().is_some_and(|entry| entry.leased_until.is_some()) {
        return Ok(false);
    }
    let (conversation_id, canceled, before) = connection
        .prepare_cached(include_str!("../../sql/messages/resolution.sqlite.sql"))?
        .query_row([id], |row| {
            Ok((
                rows::conversation_id(row.get("conversation_id")?)?,
                row.get_ref("resolution")?.as_str()? == rows::CANCELED,
                rows::delivery(row)?,
            ))
        })?;
    let status_of = |delivery: Option<&Delivery>| {
        Status::of_outbound(None, canceled, delivery.map(|delivery| delivery.status))
    };
    let old_status = status_of(before.as_ref());
    let delivery = match before {
        Some(before) => before.join(said),
        None => said,
    };
    let status = status_of(Some(&delivery));
    if entry.is_some() {
        connection
            .prepare_cached(include_str!("../../sql/outbox/delete.sqlite.sql"))?
            .execute([id])?;
        events.of_message(EventType::MessageDispatched, id, conversation_id);
    }
    connection
        .prepare_cached(include_str!("../../sql/messages/resolve.sqlite.sql"))?
        .execute(params![
            id,
            match status {
                Status::Canceled | Status::Delivered | Status::Undelivered => status.as_str(),
                _ => "none",
            },
            delivery.status.as_str(),
            delivery.error_code.as_ref().map(ErrorCode::as_str),
            delivery.at.as_micros(),
            delivery.contradicted,
        ])?;
    if status != old_status {
        let (kind, error_code) = match status {
            Status::Delivered => (EventType::MessageDelivered, None),
            _ => (EventType::MessageUndelivered, delivery.error_code),
        };
        let subject = EventSubject::Message {
            message_id: id.into(),
            conversation_id,
            reason: None,
            error_code,
        };
        events.push(kind, subject);
    }
    Ok(true)
}

/// The outbox entry of a message that a receipt is about.
struct Entry {
    provider: ProviderName,
    channel: Channel,
    token: LeaseToken,
    leased_until: Option<Timestamp>,
    progress: crate::Progress,
}

impl Entry {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            provider: rows::word(row, "provider")?,
            channel: rows::word(row, "channel")?,
            token: LeaseToken(row.get("lease_token")?),
            leased_until: rows::optional_instant(row, "leased_until")?,
            progress: read_progress(row)?,
        })
    }
}
