use std::time::Duration;

use async_trait::async_trait;
use domain::{
    DeliveryStatus, EventId, EventSubject, EventType, LeaseToken, Page, PageRequest, TOTAL_COUNTED_MAX,
    Timestamp, Total, WebhookEndpointId,
};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{
    Sqlite, endpoint_rows,
    events::{self, NewEvents, number},
    rows,
};
use crate::{
    Checkpoint, Endpoint, EndpointChange, EndpointConfig, LeasedEndpoint, NewEndpoint, PendingLimits,
    PendingPage, ReplayFrom, StoreError, WebhookDelivery, Webhooks, instant_after,
};

#[async_trait]
impl Webhooks for Sqlite {
    async fn create_endpoint(
        &self,
        endpoint: &NewEndpoint,
        max: u32,
    ) -> Result<Option<Endpoint>, StoreError> {
        let NewEndpoint { id, config, secret } = endpoint.clone();
        self.write(move |connection, now| {
            let count: u32 = connection
                .prepare_cached(include_str!("../../sql/webhook_endpoints/count.sqlite.sql"))?
                .query_row([], |row| row.get(0))?;
            if count >= max {
                return Ok(None);
            }
            connection
                .prepare_cached(include_str!("../../sql/webhook_endpoints/insert.sqlite.sql"))?
                .execute(params![
                    id.as_uuid(),
                    config.url.0,
                    endpoint_rows::from_types(config.types.as_deref()),
                    config.payload.as_str(),
                    config.description,
                    secret.0,
                    now.as_micros(),
                    number(events::ends(connection)?.end),
                ])?;
            find(connection, id)
        })
        .await
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        self.read(|connection, _| {
            connection
                .prepare_cached(include_str!("../../sql/webhook_endpoints/list.sqlite.sql"))?
                .query_map([], endpoint_rows::endpoint)?
                .collect()
        })
        .await
    }

    async fn endpoint(&self, id: WebhookEndpointId) -> Result<Option<Endpoint>, StoreError> {
        self.read(move |connection, _| find(connection, id)).await
    }

    async fn change_endpoint(
        &self,
        id: WebhookEndpointId,
        change: &EndpointChange,
    ) -> Result<Option<Endpoint>, StoreError> {
        let change = change.clone();
        self.write(move |connection, now| {
            let Some(mut endpoint) = find(connection, id)? else {
                return Ok(None);
            };
            let enabled = change.enabled;
            apply(&mut endpoint, change, now);
            if enabled == Some(true) {
                connection
                    .prepare_cached(include_str!("../../sql/webhook_deliveries/due_now.sqlite.sql"))?
                    .execute(params![id.as_uuid(), now.as_micros()])?;
            }
            save(connection, &endpoint)?;
            Ok(Some(endpoint))
        })
        .await
    }

    async fn delete_endpoint(&self, id: WebhookEndpointId) -> Result<bool, StoreError> {
        self.write(move |connection, _| {
            connection
                .prepare_cached(include_str!(
                    "../../sql/webhook_deliveries/delete_of_endpoint.sqlite.sql"
                ))?
                .execute([id.as_uuid()])?;
            let deleted = connection
                .prepare_cached(include_str!("../../sql/webhook_endpoints/delete.sqlite.sql"))?
                .execute([id.as_uuid()])?;
            Ok(deleted > 0)
        })
        .await
    }

    async fn replay(&self, id: WebhookEndpointId, from: ReplayFrom) -> Result<Option<Endpoint>, StoreError> {
        self.write(move |connection, now| {
            let Some(mut endpoint) = find(connection, id)? else {
                return Ok(None);
            };
            let place = match from {
                ReplayFrom::After(place) => Some(place),
                ReplayFrom::Since(since) => events::before(connection, since)?,
                ReplayFrom::Failed => Some(EventId::START),
            };
            if let Some(place) = place {
                connection
                    .prepare_cached(include_str!(
                        "../../sql/webhook_deliveries/retry_failed.sqlite.sql"
                    ))?
                    .execute(params![id.as_uuid(), now.as_micros(), number(place)])?;
            }
            let place = place.filter(|place| *place < endpoint.cursor);
            if let Some(place) = place.filter(|_| from != ReplayFrom::Failed) {
                endpoint.replay_until = endpoint.replay_until.max(Some(endpoint.cursor));
                endpoint.cursor = place;
            }
            save(connection, &endpoint)?;
            Ok(Some(endpoint))
        })
        .await
    }

    async fn lease_endpoints(&self, lease: Duration, max: u32) -> Result<Vec<LeasedEndpoint>, StoreError> {
        self.write(move |connection, now| {
            let free: Vec<(Endpoint, i64)> = connection
                .prepare_cached(include_str!("../../sql/webhook_endpoints/free.sqlite.sql"))?
                .query_map(params![now.as_micros(), max], |row| {
                    Ok((endpoint_rows::endpoint(row)?, row.get("lease_token")?))
                })?
                .collect::<rusqlite::Result<_>>()?;
            let mut leased = Vec::with_capacity(free.len());
            for (endpoint, token) in free {
                let (id, token) = (endpoint.id.as_uuid(), token + 1);
                connection
                    .prepare_cached(include_str!("../../sql/webhook_endpoints/lease.sqlite.sql"))?
                    .execute(params![id, instant_after(now, lease).as_micros(), token])?;
                leased.push(LeasedEndpoint {
                    endpoint,
                    token: LeaseToken(token),
                });
            }
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
        self.read(move |connection, now| {
            let held = connection
                .prepare_cached(include_str!("../../sql/webhook_endpoints/held.sqlite.sql"))?
                .exists(params![id.as_uuid(), token.0])?;
            if !held {
                return Ok(None);
            }
            let found = connection
                .prepare_cached(include_str!(
                    "../../sql/webhook_deliveries/list_by_status.sqlite.sql"
                ))?
                .query_map(
                    params![
                        id.as_uuid(),
                        number(after),
                        i64::from(limits.rows) + 1,
                        0,
                        DeliveryStatus::Pending.as_str()
                    ],
                    |row| {
                        let bytes = row.get_ref("attempts")?.as_str()?.len();
                        Ok((endpoint_rows::delivery(row)?, bytes))
                    },
                )?
                .collect::<rusqlite::Result<_>>()?;
            Ok(Some(PendingPage::of(found, limits, now)))
        })
        .await
    }

    async fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<bool, StoreError> {
        let checkpoint = checkpoint.clone();
        self.write(move |connection, now| progress(connection, &checkpoint, now))
            .await
    }

    async fn release_endpoint(&self, id: WebhookEndpointId, token: LeaseToken) -> Result<(), StoreError> {
        self.write(move |connection, _| {
            connection
                .prepare_cached(include_str!("../../sql/webhook_endpoints/release.sqlite.sql"))?
                .execute(params![id.as_uuid(), token.0])?;
            Ok(())
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
        self.read(move |connection, _| {
            if find(connection, id)?.is_none() {
                return Ok(None);
            }
            let id = id.as_uuid();
            let after = page.after().map_or(0, |after| number(*after));
            let (size, offset) = (page.size() + 1, page.offset().cast_signed());
            let found = match status {
                None => connection
                    .prepare_cached(include_str!("../../sql/webhook_deliveries/list.sqlite.sql"))?
                    .query_map(params![id, after, size, offset], endpoint_rows::delivery)?
                    .collect::<rusqlite::Result<_>>()?,
                Some(status) => connection
                    .prepare_cached(include_str!(
                        "../../sql/webhook_deliveries/list_by_status.sqlite.sql"
                    ))?
                    .query_map(
                        params![id, after, size, offset, status.as_str()],
                        endpoint_rows::delivery,
                    )?
                    .collect::<rusqlite::Result<_>>()?,
            };
            let counted = connection
                .prepare_cached(include_str!("../../sql/webhook_deliveries/count.sqlite.sql"))?
                .query_row(
                    params![
                        id,
                        status.map(DeliveryStatus::as_str),
                        TOTAL_COUNTED_MAX.cast_signed() + 1
                    ],
                    |row| row.get(0),
                )?;
            let total = Total::capped(rows::count(counted)?);
            Ok(Some(Page::of(&page, found, total, |delivery| delivery.event.id)))
        })
        .await
    }

    async fn purge_deliveries(&self, limit: u32) -> Result<u64, StoreError> {
        self.write(move |connection, _| {
            let start = number(events::ends(connection)?.start);
            let purged = connection
                .prepare_cached(include_str!("../../sql/webhook_deliveries/purge.sqlite.sql"))?
                .execute(params![start, limit])?;
            Ok(purged as u64)
        })
        .await
    }
}

fn find(connection: &Connection, id: WebhookEndpointId) -> rusqlite::Result<Option<Endpoint>> {
    connection
        .prepare_cached(include_str!("../../sql/webhook_endpoints/get.sqlite.sql"))?
        .query_row([id.as_uuid()], endpoint_rows::endpoint)
        .optional()
}

fn apply(endpoint: &mut Endpoint, change: EndpointChange, now: Timestamp) {
    let EndpointChange {
        url,
        types,
        payload,
        description,
        enabled,
        rotate,
    } = change;
    let EndpointConfig {
        url: old_url,
        types: old_types,
        payload: old_payload,
        description: old_description,
    } = &mut endpoint.config;
    replace(old_url, url);
    replace(old_types, types);
    replace(old_payload, payload);
    replace(old_description, description);
    if let Some((secret, kept)) = rotate {
        endpoint.rotate(secret, kept, now);
    }
    if let Some(enabled) = enabled {
        endpoint.enabled = enabled;
        endpoint.disabled_reason = None;
        endpoint.failing_since = endpoint.failing_since.filter(|_| !enabled);
    }
}

fn replace<T>(old: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *old = new;
    }
}

/// Saves a changed endpoint and takes its lease away.
fn save(connection: &Connection, endpoint: &Endpoint) -> rusqlite::Result<()> {
    let Endpoint { id, config, .. } = endpoint;
    connection
        .prepare_cached(include_str!("../../sql/webhook_endpoints/change.sqlite.sql"))?
        .execute(params![
            id.as_uuid(),
            config.url.0,
            endpoint_rows::from_types(config.types.as_deref()),
            config.payload.as_str(),
            config.description,
            endpoint.secret.0,
            endpoint_rows::from_secrets(&endpoint.previous_secrets),
            endpoint.enabled,
            endpoint.disabled_reason.map(domain::DisabledReason::as_str),
            number(endpoint.cursor),
            endpoint.replay_until.map(number),
            endpoint.failing_since.map(Timestamp::as_micros),
        ])?;
    Ok(())
}

/// Records a checkpoint; false if its lease is lost.
fn progress(connection: &Connection, checkpoint: &Checkpoint, now: Timestamp) -> rusqlite::Result<bool> {
    let id: Uuid = checkpoint.id.as_uuid();
    let held = connection
        .prepare_cached(include_str!("../../sql/webhook_endpoints/progress.sqlite.sql"))?
        .execute(params![
            id,
            checkpoint.token.0,
            now.as_micros(),
            number(checkpoint.cursor),
            i64::try_from(checkpoint.delivered).unwrap_or(i64::MAX),
            checkpoint.failing,
            instant_after(now, checkpoint.lease).as_micros(),
            checkpoint.disable.map(domain::DisabledReason::as_str),
        ])?;
    if held == 0 {
        return Ok(false);
    }
    let mut delete =
        connection.prepare_cached(include_str!("../../sql/webhook_deliveries/delete.sqlite.sql"))?;
    for event in &checkpoint.done {
        delete.execute(params![id, number(*event)])?;
    }
    let mut put = connection.prepare_cached(include_str!("../../sql/webhook_deliveries/put.sqlite.sql"))?;
    for kept in &checkpoint.kept {
        put.execute(params![
            id,
            number(kept.event.id),
            events::json(kept.event.kind, &kept.event.subject).to_string(),
            kept.event.at.as_micros(),
            kept.status.as_str(),
            kept.due_in.map(|due_in| instant_after(now, due_in).as_micros()),
            endpoint_rows::from_attempts(&kept.attempts),
        ])?;
    }
    if let Some(reason) = checkpoint.disable {
        let mut events = NewEvents::default();
        let subject = EventSubject::WebhookEndpoint {
            id: checkpoint.id,
            reason,
        };
        events.push(EventType::WebhookEndpointDisabled, subject);
        events.write(connection, now)?;
    }
    Ok(true)
}
