use std::{collections::BTreeMap, ops::Bound, time::Duration};

use async_trait::async_trait;
use domain::{
    DeliveryStatus, EventId, EventSubject, EventType, LeaseToken, Page, PageRequest, Timestamp, Total,
    WebhookEndpointId,
};

use mutants::Mutant;

use store::{
    Checkpoint, Endpoint, EndpointChange, KeptDelivery, LeasedEndpoint, NewEndpoint, PendingLimits,
    PendingPage, ReplayFrom, StoreError, WebhookDelivery, Webhooks, instant_after,
};

use crate::{EndpointRow, Log, Memory, Tables, reads::part};

#[async_trait]
impl Webhooks for Memory {
    async fn create_endpoint(
        &self,
        endpoint: &NewEndpoint,
        max: u32,
    ) -> Result<Option<Endpoint>, StoreError> {
        let (mut tables, now) = self.begin();
        if tables.endpoints.len() >= max as usize {
            return Ok(None);
        }
        let row = EndpointRow::new(endpoint, tables.log.ends.end, now);
        let created = row.endpoint.clone();
        tables.endpoints.insert(endpoint.id, row);
        Ok(Some(created))
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        let (tables, _) = self.begin();
        let rows = tables.oldest_first().into_iter();
        Ok(rows.map(|id| tables.endpoints[&id].endpoint.clone()).collect())
    }

    async fn endpoint(&self, id: WebhookEndpointId) -> Result<Option<Endpoint>, StoreError> {
        let (tables, _) = self.begin();
        Ok(tables.endpoints.get(&id).map(|row| row.endpoint.clone()))
    }

    async fn change_endpoint(
        &self,
        id: WebhookEndpointId,
        change: &EndpointChange,
    ) -> Result<Option<Endpoint>, StoreError> {
        let (mut tables, now) = self.begin();
        let Tables { endpoints, log, .. } = &mut *tables;
        let row = endpoints.get_mut(&id);
        Ok(row.map(|row| {
            if change.enabled == Some(true) && mutants::planted(Mutant::EnableSkipsToEnd) {
                row.endpoint.cursor = log.ends.end;
            }
            row.change(change, now)
        }))
    }

    async fn delete_endpoint(&self, id: WebhookEndpointId) -> Result<bool, StoreError> {
        Ok(self.begin().0.endpoints.remove(&id).is_some())
    }

    async fn replay(&self, id: WebhookEndpointId, from: ReplayFrom) -> Result<Option<Endpoint>, StoreError> {
        let (mut tables, now) = self.begin();
        let Tables { endpoints, log, .. } = &mut *tables;
        Ok(endpoints.get_mut(&id).map(|row| row.replay(from, log, now)))
    }

    async fn lease_endpoints(&self, lease: Duration, max: u32) -> Result<Vec<LeasedEndpoint>, StoreError> {
        let (mut tables, now) = self.begin();
        let mut leased = Vec::new();
        for id in tables.oldest_first() {
            let row = tables.endpoints.get_mut(&id);
            let free =
                row.filter(|row| row.endpoint.enabled && row.leased_until.is_none_or(|until| until <= now));
            if leased.len() < max as usize {
                leased.extend(free.map(|row| row.lease(lease, now)));
            }
        }
        Ok(leased)
    }

    async fn pending_deliveries(
        &self,
        id: WebhookEndpointId,
        token: LeaseToken,
        after: EventId,
        limits: PendingLimits,
    ) -> Result<Option<PendingPage>, StoreError> {
        let (tables, now) = self.begin();
        let Some(row) = tables.endpoints.get(&id).filter(|row| row.is_held(token)) else {
            return Ok(None);
        };
        let after = row.deliveries.range((Bound::Excluded(after), Bound::Unbounded));
        let pending = after.filter(|(_, delivery)| delivery.status == DeliveryStatus::Pending);
        let sized = pending.map(|(_, delivery)| {
            let bytes = delivery.attempts.iter().map(|attempt| attempt.answer.len());
            (delivery.clone(), bytes.sum())
        });
        let found = sized.take(limits.rows as usize + 1).collect();
        Ok(Some(PendingPage::of(found, limits, now)))
    }

    async fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<bool, StoreError> {
        let (mut tables, now) = self.begin();
        let Tables { endpoints, log, .. } = &mut *tables;
        let held = endpoints
            .get_mut(&checkpoint.id)
            .filter(|row| row.is_held(checkpoint.token) || mutants::planted(Mutant::CheckpointWithoutFence));
        let Some(row) = held else { return Ok(false) };
        row.checkpoint(checkpoint, now);
        if let Some(reason) = checkpoint.disable {
            row.endpoint.enabled = false;
            row.endpoint.disabled_reason = Some(reason);
            row.leased_until = None;
            let subject = EventSubject::WebhookEndpoint {
                id: checkpoint.id,
                reason,
            };
            log.write(EventType::WebhookEndpointDisabled, subject, now);
        }
        Ok(true)
    }

    async fn release_endpoint(&self, id: WebhookEndpointId, token: LeaseToken) -> Result<(), StoreError> {
        let (mut tables, _) = self.begin();
        if let Some(row) = tables.endpoints.get_mut(&id).filter(|row| row.is_held(token)) {
            row.leased_until = None;
        }
        Ok(())
    }

    async fn deliveries(
        &self,
        id: WebhookEndpointId,
        status: Option<DeliveryStatus>,
        page: &PageRequest<EventId>,
    ) -> Result<Option<Page<WebhookDelivery, EventId>>, StoreError> {
        let (tables, _) = self.begin();
        let Some(row) = tables.endpoints.get(&id) else {
            return Ok(None);
        };
        let deliveries = row.deliveries.values();
        let matching = deliveries.filter(|delivery| status.is_none_or(|status| status == delivery.status));
        let total = Total::capped(matching.clone().count() as u64);
        let after = matching.filter(|delivery| page.after().is_none_or(|after| delivery.event.id > *after));
        Ok(Some(Page::of(page, part(after, page), total, |delivery| {
            delivery.event.id
        })))
    }

    async fn purge_deliveries(&self, limit: u32) -> Result<u64, StoreError> {
        let (mut tables, _) = self.begin();
        let Tables { endpoints, log, .. } = &mut *tables;
        let mut purged = 0;
        for row in endpoints.values_mut() {
            row.deliveries.retain(|event, delivery| {
                let expired = delivery.status == DeliveryStatus::Failed && *event <= log.ends.start;
                let purge = expired && purged < u64::from(limit);
                purged += u64::from(purge);
                !purge
            });
        }
        Ok(purged)
    }
}

impl Tables {
    fn oldest_first(&self) -> Vec<WebhookEndpointId> {
        let mut oldest: Vec<_> = self
            .endpoints
            .values()
            .map(|row| (row.endpoint.created_at, row.endpoint.id))
            .collect();
        oldest.sort_unstable();
        oldest.into_iter().map(|(_, id)| id).collect()
    }
}

impl EndpointRow {
    fn new(endpoint: &NewEndpoint, end: EventId, now: Timestamp) -> Self {
        let NewEndpoint { id, config, secret } = endpoint.clone();
        let endpoint = Endpoint {
            id,
            config,
            secret,
            previous_secrets: Vec::new(),
            enabled: true,
            disabled_reason: None,
            created_at: now,
            cursor: end,
            replay_until: None,
            delivered_total: 0,
            last_delivered_at: None,
            failing_since: None,
        };
        Self {
            endpoint,
            token: LeaseToken(0),
            leased_until: None,
            deliveries: BTreeMap::new(),
        }
    }

    fn is_held(&self, token: LeaseToken) -> bool {
        self.token == token && self.leased_until.is_some()
    }

    /// Takes the lease away, because the endpoint changes.
    fn revoke(&mut self) {
        self.token = LeaseToken(self.token.0 + 1);
        self.leased_until = None;
    }

    fn change(&mut self, change: &EndpointChange, now: Timestamp) -> Endpoint {
        let EndpointChange {
            url,
            types,
            payload,
            description,
            enabled,
            rotate,
        } = change.clone();
        self.revoke();
        let endpoint = &mut self.endpoint;
        let config = &mut endpoint.config;
        config.url = url.unwrap_or_else(|| config.url.clone());
        config.types = types.unwrap_or_else(|| config.types.clone());
        config.payload = payload.unwrap_or(config.payload);
        config.description = description.unwrap_or_else(|| config.description.clone());
        if let Some((secret, kept)) = rotate {
            endpoint.rotate(secret, kept, now);
        }
        if let Some(enabled) = enabled {
            endpoint.enabled = enabled;
            endpoint.disabled_reason = None;
        }
        if enabled == Some(true) {
            endpoint.failing_since = None;
            let deliveries = self.deliveries.values_mut();
            for delivery in deliveries.filter(|delivery| delivery.status == DeliveryStatus::Pending) {
                // Those that wait behind others have no time, and go on waiting.
                delivery.due_at = delivery.due_at.map(|_| now);
                delivery.attempts.clear();
            }
        }
        self.endpoint.clone()
    }

    fn replay(&mut self, from: ReplayFrom, log: &Log, now: Timestamp) -> Endpoint {
        self.revoke();
        let place = match from {
            ReplayFrom::After(place) => Some(place),
            ReplayFrom::Since(since) => {
                let first = log.events.values().find(|event| event.at >= since);
                first.and_then(|event| EventId::new(event.id.get() - 1))
            }
            ReplayFrom::Failed => Some(EventId::START),
        };
        let after = self.deliveries.values_mut();
        for delivery in after.filter(|delivery| place.is_some_and(|place| delivery.event.id > place)) {
            if delivery.status == DeliveryStatus::Failed {
                delivery.status = DeliveryStatus::Pending;
                delivery.due_at = Some(now);
                delivery.attempts.clear();
            }
        }
        let endpoint = &mut self.endpoint;
        let place = place.filter(|place| *place < endpoint.cursor);
        if let Some(place) = place.filter(|_| from != ReplayFrom::Failed) {
            endpoint.replay_until = endpoint.replay_until.max(Some(endpoint.cursor));
            endpoint.cursor = place;
        }
        endpoint.clone()
    }

    fn lease(&mut self, lease: Duration, now: Timestamp) -> LeasedEndpoint {
        self.token = LeaseToken(self.token.0 + 1);
        self.leased_until = Some(instant_after(now, lease));
        LeasedEndpoint {
            endpoint: self.endpoint.clone(),
            token: self.token,
        }
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint, now: Timestamp) {
        self.leased_until = Some(instant_after(now, checkpoint.lease));
        for event in &checkpoint.done {
            self.deliveries.remove(event);
        }
        for kept in &checkpoint.kept {
            let KeptDelivery {
                event,
                status,
                due_in,
                attempts,
            } = kept.clone();
            let delivery = WebhookDelivery {
                event,
                status,
                due_at: due_in.map(|due_in| instant_after(now, due_in)),
                attempts,
            };
            self.deliveries.insert(kept.event.id, delivery);
        }
        let endpoint = &mut self.endpoint;
        endpoint.cursor = endpoint.cursor.max(checkpoint.cursor);
        endpoint.replay_until = endpoint.replay_until.filter(|until| *until > endpoint.cursor);
        endpoint.delivered_total += checkpoint.delivered;
        if checkpoint.delivered > 0 {
            endpoint.last_delivered_at = Some(now);
            endpoint.failing_since = None;
        }
        if checkpoint.failing {
            endpoint.failing_since.get_or_insert(now);
        }
    }
}
