use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Channel, Delivery, EventType, MessageId, Outcome, Page, PageRequest, ProviderName, Receipt,
    ReceiptPosition, Status, Timestamp, Total,
};

use mutants::Mutant;

use store::{AppliedReceipt, RECEIPTS_SHOWN_MAX, Receipts, StoreError, StoredReceipt};

use crate::{Memory, ReceiptRow, Tables, reads::part};

#[async_trait]
impl Receipts for Memory {
    async fn store_receipt(&self, receipt: &Receipt) -> Result<Option<AppliedReceipt>, StoreError> {
        let (mut tables, now) = self.begin();
        tables.receipts_stored += 1;
        let number = tables.receipts_stored;
        let stored = StoredReceipt {
            position: ReceiptPosition(number),
            receipt: receipt.clone(),
            applied_to: None,
        };
        let stored_at = now;
        tables.receipts.insert(number, ReceiptRow { stored, stored_at });
        let message = tables.message_of(receipt);
        let mut lease_expired = None;
        if let Some(id) = message {
            lease_expired = tables.record_expired_lease(id, now);
            tables.apply(id, &[number], now);
        }
        let applied_to = tables.receipts[&number].stored.applied_to;
        if applied_to.is_none() && mutants::planted(Mutant::EarlyReceiptDropped) {
            tables.receipts.remove(&number);
        }
        Ok(applied_to.map(|message_id| AppliedReceipt {
            message_id,
            lease_expired,
        }))
    }

    async fn match_receipts(&self, within: Duration, limit: u32) -> Result<Vec<AppliedReceipt>, StoreError> {
        let (mut tables, now) = self.begin();
        Ok(tables.match_receipts(within, limit, now))
    }

    async fn receipts(
        &self,
        matched: Option<bool>,
        page: &PageRequest<ReceiptPosition>,
    ) -> Result<Page<StoredReceipt, ReceiptPosition>, StoreError> {
        let (tables, _) = self.begin();
        let latest = tables.receipts.values().rev().map(|row| &row.stored);
        let matching = latest.filter(|stored| matched.is_none_or(|it| it == stored.applied_to.is_some()));
        let total = Total::capped(matching.clone().count() as u64);
        let after = matching.filter(|stored| page.after().is_none_or(|after| stored.position < *after));
        Ok(Page::of(page, part(after, page), total, |stored| stored.position))
    }

    async fn purge_receipts(&self, kept: Duration, limit: u32) -> Result<u64, StoreError> {
        let (mut tables, now) = self.begin();
        let expired: Vec<u64> = tables
            .unmatched()
            .filter(|row| row.stored_at.saturating_add(kept) <= now)
            .map(|row| row.stored.position.0)
            .take(limit as usize)
            .collect();
        for number in &expired {
            tables.receipts.remove(number);
        }
        Ok(expired.len() as u64)
    }
}

impl Tables {
    /// Receipts that were not applied, oldest first.
    fn unmatched(&self) -> impl Iterator<Item = &ReceiptRow> {
        let rows = self.receipts.values();
        rows.filter(|row| row.stored.applied_to.is_none())
    }

    /// The message that a receipt is about, if that is certain.
    fn message_of(&self, receipt: &Receipt) -> Option<MessageId> {
        let at_provider = |provider: &ProviderName| {
            let named = receipt.provider.as_ref();
            named.is_none_or(|named| named == provider)
        };
        let attempts = || {
            let attempts = self.attempts.iter();
            attempts.flat_map(|(id, attempts)| attempts.iter().map(|(_, attempt)| (*id, attempt)))
        };
        let by_provider_id: BTreeSet<MessageId> = attempts()
            .filter(|(_, attempt)| {
                receipt.provider_message_id.is_some()
                    && attempt.provider_message_id == receipt.provider_message_id
                    && at_provider(&attempt.provider)
            })
            .map(|(id, _)| id)
            .collect();
        let unambiguous = by_provider_id.first().filter(|_| by_provider_id.len() == 1);
        let mut may_be_taken = attempts().filter(|(_, attempt)| {
            let may_be_taken = attempt.outcome == Outcome::Success || attempt.outcome.is_unsure();
            may_be_taken && at_provider(&attempt.provider)
        });
        let named = || {
            receipt
                .message_id
                .filter(|named| may_be_taken.any(|(id, _)| id == *named))
        };
        unambiguous.copied().or_else(named)
    }

    fn may_be_about(&self, receipt: &Receipt, messages: &BTreeSet<MessageId>) -> bool {
        let given = |id| {
            let mut attempts = self.attempts.get(id).into_iter().flatten();
            attempts.any(|(_, attempt)| attempt.provider_message_id == receipt.provider_message_id)
        };
        receipt.message_id.is_some_and(|id| messages.contains(&id))
            || receipt.provider_message_id.is_some() && messages.iter().any(given)
    }

    /// Applies receipts that came while these messages were leased. Entries that are leased still are left alone.
    pub(super) fn apply_parked(&mut self, settled: impl Iterator<Item = MessageId>, now: Timestamp) {
        let settled: BTreeSet<MessageId> = settled.collect();
        let mut parked: BTreeMap<MessageId, Vec<u64>> = BTreeMap::new();
        for StoredReceipt {
            position, receipt, ..
        } in self.unmatched().map(|row| &row.stored)
        {
            // Most receipts are about other messages.
            if !self.may_be_about(receipt, &settled) {
                continue;
            }
            if let Some(id) = self.message_of(receipt).filter(|id| settled.contains(id)) {
                parked.entry(id).or_default().push(position.0);
            }
        }
        for (id, receipts) in parked {
            self.apply(id, &receipts, now);
        }
    }

    fn match_receipts(&mut self, within: Duration, limit: u32, now: Timestamp) -> Vec<AppliedReceipt> {
        let mut matching: BTreeMap<MessageId, Vec<u64>> = BTreeMap::new();
        let can_be_applied = |id: &MessageId| {
            let entry = self.outbox.get(id);
            let until = entry.and_then(|entry| entry.leased_until);
            until.is_none_or(|until| until <= now)
        };
        let recent = self
            .unmatched()
            .filter(|row| row.stored_at.saturating_add(within) > now)
            .map(|row| &row.stored)
            .filter_map(|stored| Some((stored.position.0, self.message_of(&stored.receipt)?)))
            .filter(|(_, id)| can_be_applied(id));
        for (number, id) in recent.take(limit as usize) {
            matching.entry(id).or_default().push(number);
        }
        let mut applied = Vec::new();
        for (message_id, receipts) in matching {
            let mut lease_expired = self.record_expired_lease(message_id, now);
            self.apply(message_id, &receipts, now);
            applied.extend(receipts.iter().map(|_| AppliedReceipt {
                message_id,
                lease_expired: lease_expired.take(),
            }));
        }
        applied
    }

    /// Returns the provider and channel of the attempt that it records.
    fn record_expired_lease(&mut self, id: MessageId, now: Timestamp) -> Option<(ProviderName, Channel)> {
        let entry = self.outbox.get_mut(&id)?;
        entry.leased_until.take_if(|until| *until <= now)?;
        entry.record_expired(self.attempts.entry(id).or_default(), now);
        let channel = self.messages[&id].message.content.channel;
        Some((entry.provider.clone(), channel))
    }

    /// Applies receipts to their message, together, unless it is leased. They prove that a provider has it.
    fn apply(&mut self, id: MessageId, receipts: &[u64], now: Timestamp) {
        let entry = self.outbox.get(&id);
        let leased = entry.is_some_and(|entry| entry.leased_until.is_some())
            && !mutants::planted(Mutant::LeasedEntryProved);
        let Some(row) = self.messages.get_mut(&id).filter(|_| !leased) else {
            return;
        };
        let proved = !mutants::planted(Mutant::ProofIgnored) && self.outbox.remove(&id).is_some();
        let fields = |number| &self.receipts[number].stored.receipt;
        let said = Delivery::fold(receipts.iter().map(fields));
        let before = row.message.delivery.clone();
        row.message.failure = None;
        row.message.delivery = before.clone().into_iter().chain(said).reduce(Delivery::join);
        if mutants::planted(Mutant::LatestReceiptDecides) {
            row.message.delivery = receipts
                .last()
                .and_then(|number| Delivery::fold([fields(number)]));
        }
        for number in receipts {
            if let Some(row) = self.receipts.get_mut(number) {
                row.stored.applied_to = Some(id);
            }
        }
        let canceled = row.canceled;
        let status = |delivery: Option<Delivery>| {
            Status::of_outbound(None, canceled, delivery.map(|delivery| delivery.status))
        };
        let (before, after) = (status(before), status(row.message.delivery.clone()));
        if proved {
            self.message_event(EventType::MessageDispatched, id, now);
        }
        let arrived = match after {
            Status::Delivered => Some(EventType::MessageDelivered),
            Status::Undelivered => Some(EventType::MessageUndelivered),
            _ => None,
        };
        if let Some(arrived) =
            arrived.filter(|_| before != after || mutants::planted(Mutant::DeliveredToldTwice))
        {
            self.message_event(arrived, id, now);
        }
    }

    /// The latest receipts that were applied to a message, in the order in which they came.
    pub(super) fn receipts_of(&self, id: MessageId) -> Vec<Receipt> {
        let stored = self.receipts.values().map(|row| &row.stored);
        let applied = stored.filter(|stored| stored.applied_to == Some(id));
        let applied: Vec<Receipt> = applied.map(|stored| stored.receipt.clone()).collect();
        applied[applied.len().saturating_sub(RECEIPTS_SHOWN_MAX)..].to_vec()
    }
}
