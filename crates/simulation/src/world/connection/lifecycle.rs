//! Follow-ups, receipts, the event log and webhook endpoints.

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    DeliveryStatus, Event, EventId, LeaseToken, Page, PageRequest, Receipt, ReceiptPosition,
    WebhookEndpointId,
};
use futures_util::FutureExt;
use mutants::Mutant;
use store::{
    AppliedReceipt, Checkpoint, Endpoint, EndpointChange, EventLog, Events, EventsRead, FollowUpKey,
    FollowUps, LeasedEndpoint, NewEndpoint, PendingLimits, PendingPage, Receipts, ReplayFrom, StoreError,
    StoredReceipt, TakenFollowUps, WebhookDelivery, Webhooks,
};

use super::Connection;
use crate::world::database::Errand;

/// One of so many events commits late.
const LATE_SHARE: u64 = 5;
const LATE_BY: Duration = Duration::from_millis(700);

#[async_trait]
impl FollowUps for Connection {
    async fn take_follow_ups(&self, limit: u32, lease: Duration) -> Result<TakenFollowUps, StoreError> {
        self.database
            .transact(Errand::WRITE, move |database| {
                at_once!(database.memory.take_follow_ups(limit, lease))
            })
            .await
    }

    async fn finish_follow_ups(&self, done: &[FollowUpKey]) -> Result<(), StoreError> {
        let done = done.to_vec();
        self.database
            .transact(Errand::WRITE, move |database| {
                at_once!(database.memory.finish_follow_ups(&done))
            })
            .await
    }
}

#[async_trait]
impl Receipts for Connection {
    async fn store_receipt(&self, receipt: &Receipt) -> Result<Option<AppliedReceipt>, StoreError> {
        let receipt = receipt.clone();
        self.database
            .transact(Errand::WRITE, move |database| {
                let changed = at_once!(database.memory.store_receipt(&receipt));
                database.observer.outbox_changed(&database.memory);
                changed
            })
            .await
    }

    async fn match_receipts(&self, within: Duration, limit: u32) -> Result<Vec<AppliedReceipt>, StoreError> {
        self.database
            .transact(Errand::WRITE, move |database| {
                let changed = at_once!(database.memory.match_receipts(within, limit));
                database.observer.outbox_changed(&database.memory);
                changed
            })
            .await
    }

    async fn receipts(
        &self,
        matched: Option<bool>,
        page: &PageRequest<ReceiptPosition>,
    ) -> Result<Page<StoredReceipt, ReceiptPosition>, StoreError> {
        let page = *page;
        self.database
            .transact(Errand::READ, move |database| {
                at_once!(database.memory.receipts(matched, &page))
            })
            .await
    }

    async fn purge_receipts(&self, kept: Duration, limit: u32) -> Result<u64, StoreError> {
        self.database
            .transact(Errand::WRITE, move |database| {
                at_once!(database.memory.purge_receipts(kept, limit))
            })
            .await
    }
}

#[async_trait]
impl Events for Connection {
    async fn events(&self, after: EventId, limit: u32) -> Result<EventsRead, StoreError> {
        let mut read = self
            .database
            .transact(Errand::READ, move |database| {
                at_once!(database.memory.events(after, limit))
            })
            .await?;
        if mutants::planted(Mutant::PlacedBeforeCommit)
            && let EventsRead::Events(events) = &mut read
        {
            let now = self.database.now();
            let commits_late = |event: &Event| event.id.get().is_multiple_of(LATE_SHARE);
            events.retain(|event| !commits_late(event) || event.at.saturating_add(LATE_BY) <= now);
        }
        Ok(read)
    }

    async fn event_log(&self) -> Result<EventLog, StoreError> {
        self.database
            .transact(Errand::READ, |database| at_once!(database.memory.event_log()))
            .await
    }

    async fn purge_events(&self, kept: Duration, limit: u32) -> Result<u64, StoreError> {
        self.database
            .transact(Errand::WRITE, move |database| {
                at_once!(database.memory.purge_events(kept, limit))
            })
            .await
    }
}

#[async_trait]
impl Webhooks for Connection {
    async fn create_endpoint(
        &self,
        endpoint: &NewEndpoint,
        max: u32,
    ) -> Result<Option<Endpoint>, StoreError> {
        let endpoint = endpoint.clone();
        self.database
            .transact(Errand::WRITE, move |database| {
                at_once!(database.memory.create_endpoint(&endpoint, max))
            })
            .await
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        self.database
            .transact(Errand::READ, |database| at_once!(database.memory.endpoints()))
            .await
    }

    async fn endpoint(&self, id: WebhookEndpointId) -> Result<Option<Endpoint>, StoreError> {
        self.database
            .transact(Errand::READ, move |database| {
                at_once!(database.memory.endpoint(id))
            })
            .await
    }

    async fn change_endpoint(
        &self,
        id: WebhookEndpointId,
        change: &EndpointChange,
    ) -> Result<Option<Endpoint>, StoreError> {
        let change = change.clone();
        self.database
            .transact(Errand::WRITE, move |database| {
                at_once!(database.memory.change_endpoint(id, &change))
            })
            .await
    }

    async fn delete_endpoint(&self, id: WebhookEndpointId) -> Result<bool, StoreError> {
        self.database
            .transact(Errand::WRITE, move |database| {
                at_once!(database.memory.delete_endpoint(id))
            })
            .await
    }

    async fn replay(&self, id: WebhookEndpointId, from: ReplayFrom) -> Result<Option<Endpoint>, StoreError> {
        self.database
            .transact(Errand::WRITE, move |database| {
                at_once!(database.memory.replay(id, from))
            })
            .await
    }

    async fn lease_endpoints(&self, lease: Duration, max: u32) -> Result<Vec<LeasedEndpoint>, StoreError> {
        self.database
            .transact(Errand::WRITE, move |database| {
                let leased = at_once!(database.memory.lease_endpoints(lease, max))?;
                database.observer.leased_endpoints(&leased);
                Ok(leased)
            })
            .await
    }

    async fn pending_deliveries(
        &self,
        id: WebhookEndpointId,
        token: LeaseToken,
        after: EventId,
        limits: PendingLimits,
    ) -> Result<Option<PendingPage>, StoreError> {
        self.database
            .transact(Errand::READ, move |database| {
                at_once!(database.memory.pending_deliveries(id, token, after, limits))
            })
            .await
    }

    async fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<bool, StoreError> {
        let checkpoint = checkpoint.clone();
        self.database
            .transact(Errand::WRITE, move |database| {
                let stored = at_once!(database.memory.checkpoint(&checkpoint))?;
                if stored {
                    database.observer.stored_progress(&checkpoint);
                }
                Ok(stored)
            })
            .await
    }

    async fn release_endpoint(&self, id: WebhookEndpointId, token: LeaseToken) -> Result<(), StoreError> {
        self.database
            .transact(Errand::WRITE, move |database| {
                at_once!(database.memory.release_endpoint(id, token))
            })
            .await
    }

    async fn deliveries(
        &self,
        id: WebhookEndpointId,
        status: Option<DeliveryStatus>,
        page: &PageRequest<EventId>,
    ) -> Result<Option<Page<WebhookDelivery, EventId>>, StoreError> {
        let page = *page;
        self.database
            .transact(Errand::READ, move |database| {
                at_once!(database.memory.deliveries(id, status, &page))
            })
            .await
    }

    async fn purge_deliveries(&self, limit: u32) -> Result<u64, StoreError> {
        self.database
            .transact(Errand::WRITE, move |database| {
                at_once!(database.memory.purge_deliveries(limit))
            })
            .await
    }
}
