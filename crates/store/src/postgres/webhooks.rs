use std::time::Duration;

use async_trait::async_trait;
use domain::{
    ConversationId, DeliveryStatus, Event, EventId, EventSubject, EventType, LeaseToken, Page, PageRequest,
    TOTAL_COUNTED_MAX, Total, WebhookEndpointId, WebhookPayload,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Postgres, millis_float, rows};
use crate::{
    Checkpoint, Endpoint, EndpointChange, EndpointConfig, EndpointUrl, Events, KeptDelivery, LeasedEndpoint,
    NewEndpoint, PREVIOUS_SECRETS_MAX, PendingLimits, PendingPage, ReplayFrom, StoreError, WebhookDelivery,
    WebhookSecret, Webhooks, json,
};

#[async_trait]
impl Webhooks for Postgres {
    async fn create_endpoint(
        &self,
        endpoint: &NewEndpoint,
        max: u32,
    ) -> Result<Option<Endpoint>, StoreError> {
        let NewEndpoint { id, config, secret } = endpoint;
        let cursor = self.event_log().await?.end;
        loop {
            let created = self
                .write(
                    include_str!("../../sql/webhook_endpoints/insert.postgres.sql"),
                    &[
                        &id.as_uuid(),
                        &i32::try_from(max).unwrap_or(i32::MAX),
                        &&*config.url.0,
                        &types(config.types.as_deref()),
                        &config.payload.as_str(),
                        &config.description.as_deref(),
                        &&*secret.0,
                        &place(cursor),
                    ],
                )
                .await?;
            if let Some(row) = created.first() {
                let full = rows::get(row, "full")?;
                return if full {
                    Ok(None)
                } else {
                    endpoint_of(row).map(Some)
                };
            }
        }
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        let found = self.listed(None).await?;
        found.iter().map(endpoint_of).collect()
    }

    async fn endpoint(&self, id: WebhookEndpointId) -> Result<Option<Endpoint>, StoreError> {
        only(&self.listed(Some(id.as_uuid())).await?)
    }

    async fn change_endpoint(
        &self,
        id: WebhookEndpointId,
        change: &EndpointChange,
    ) -> Result<Option<Endpoint>, StoreError> {
        let new_types = change.types.as_ref().and_then(|types| types.as_deref());
        let description = change.description.as_ref().and_then(|text| text.as_deref());
        let (secret, also_signs) = match &change.rotate {
            Some((secret, also_signs)) => (Some(&*secret.0), millis_float(*also_signs)),
            None => (None, 0.0),
        };
        let changed = self
            .write(
                include_str!("../../sql/webhook_endpoints/change.postgres.sql"),
                &[
                    &id.as_uuid(),
                    &change.url.as_ref().map(|url| &*url.0),
                    &change.types.is_some(),
                    &types(new_types),
                    &change.payload.map(WebhookPayload::as_str),
                    &change.description.is_some(),
                    &description,
                    &change.enabled,
                    &secret,
                    &also_signs,
                    &(PREVIOUS_SECRETS_MAX as i64),
                ],
            )
            .await?;
        only(&changed)
    }

    async fn delete_endpoint(&self, id: WebhookEndpointId) -> Result<bool, StoreError> {
        let sql = include_str!("../../sql/webhook_endpoints/delete.postgres.sql");
        Ok(self.change(sql, &[&id.as_uuid()]).await? > 0)
    }

    async fn replay(&self, id: WebhookEndpointId, from: ReplayFrom) -> Result<Option<Endpoint>, StoreError> {
        let id = id.as_uuid();
        let changed = match from {
            ReplayFrom::After(event) => {
                let sql = include_str!("../../sql/webhook_endpoints/replay.postgres.sql");
                self.write(sql, &[&id, &place(event)]).await?
            }
            ReplayFrom::Since(time) => {
                let sql = include_str!("../../sql/webhook_endpoints/replay_since.postgres.sql");
                self.write(sql, &[&id, &jiff::Timestamp::from(time)]).await?
            }
            ReplayFrom::Failed => {
                let sql = include_str!("../../sql/webhook_endpoints/replay_failed.postgres.sql");
                self.write(sql, &[&id]).await?
            }
        };
        only(&changed)
    }

    async fn lease_endpoints(&self, lease: Duration, max: u32) -> Result<Vec<LeasedEndpoint>, StoreError> {
        let sql = include_str!("../../sql/webhook_endpoints/lease.postgres.sql");
        let leased = self.write(sql, &[&millis_float(lease), &i64::from(max)]).await?;
        let leased = leased.iter().map(|row| {
            Ok(LeasedEndpoint {
                endpoint: endpoint_of(row)?,
                token: LeaseToken(rows::get(row, "lease_token")?),
            })
        });
        leased.collect()
    }

    async fn pending_deliveries(
        &self,
        id: WebhookEndpointId,
        token: LeaseToken,
        after: EventId,
        limits: PendingLimits,
    ) -> Result<Option<PendingPage>, StoreError> {
        // On a primary, because a standby may not have the changes of the lease's former holder yet.
        let found = self
            .write(
                include_str!("../../sql/webhook_deliveries/pending.postgres.sql"),
                &[
                    &id.as_uuid(),
                    &token.0,
                    &place(after),
                    &i64::from(limits.rows),
                    &i64::from(limits.bytes),
                ],
            )
            .await?;
        let Some(first) = found.first() else {
            return Ok(None);
        };
        let mut deliveries = Vec::with_capacity(found.len());
        // An empty page is one row without a delivery.
        for row in &found {
            if rows::get::<Option<i64>>(row, "event_id")?.is_some() {
                deliveries.push(delivery_of(row)?);
            }
        }
        Ok(Some(PendingPage {
            is_last: rows::get::<i64>(first, "listed")? == deliveries.len() as i64,
            deliveries,
            read_at: rows::get::<jiff::Timestamp>(first, "read_at")?.into(),
        }))
    }

    async fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<bool, StoreError> {
        let done: Vec<i64> = checkpoint.done.iter().map(|event| place(*event)).collect();
        let kept = Columns::of(&checkpoint.kept);
        let held = self
            .change(
                include_str!("../../sql/webhook_endpoints/checkpoint.postgres.sql"),
                &[
                    &checkpoint.id.as_uuid(),
                    &checkpoint.token.0,
                    &millis_float(checkpoint.lease),
                    &place(checkpoint.cursor),
                    &i64::try_from(checkpoint.delivered).unwrap_or(i64::MAX),
                    &checkpoint.failing,
                    &checkpoint.disable.map(|reason| reason.as_str()),
                    &done,
                    &kept.event_id,
                    &kept.kind,
                    &kept.at,
                    &kept.message_id,
                    &kept.conversation_id,
                    &kept.subject_id,
                    &kept.reason,
                    &kept.error_code,
                    &kept.status,
                    &kept.due_in_ms,
                    &kept.attempts,
                ],
            )
            .await?;
        Ok(held > 0)
    }

    async fn release_endpoint(&self, id: WebhookEndpointId, token: LeaseToken) -> Result<(), StoreError> {
        let sql = include_str!("../../sql/webhook_endpoints/release.postgres.sql");
        self.write(sql, &[&id.as_uuid(), &token.0]).await.map(drop)
    }

    async fn deliveries(
        &self,
        id: WebhookEndpointId,
        status: Option<DeliveryStatus>,
        page: &PageRequest<EventId>,
    ) -> Result<Option<Page<WebhookDelivery, EventId>>, StoreError> {
        let after = page.after().map_or(-1, |event| place(*event));
        let found = self
            .read(
                include_str!("../../sql/webhook_deliveries/list.postgres.sql"),
                &[
                    &id.as_uuid(),
                    &after,
                    &status.map(DeliveryStatus::as_str),
                    &(i64::from(page.size()) + 1),
                    &(page.offset() as i64),
                    &(TOTAL_COUNTED_MAX as i64 + 1),
                ],
            )
            .await?;
        let Some(first) = found.first() else {
            return Ok(None);
        };
        let total = Total::capped(rows::count(rows::get(first, "total")?)?);
        let mut deliveries = Vec::with_capacity(found.len());
        // An empty page is one row without a delivery.
        for row in &found {
            if rows::get::<Option<i64>>(row, "event_id")?.is_some() {
                deliveries.push(delivery_of(row)?);
            }
        }
        Ok(Some(Page::of(page, deliveries, total, |delivery| {
            delivery.event.id
        })))
    }

    async fn purge_deliveries(&self, limit: u32) -> Result<u64, StoreError> {
        let sql = include_str!("../../sql/webhook_deliveries/purge.postgres.sql");
        self.change(sql, &[&i64::from(limit)]).await
    }
}

impl Postgres {
    /// The endpoint `id`, or all.
    async fn listed(&self, id: Option<Uuid>) -> Result<Vec<Row>, StoreError> {
        let sql = include_str!("../../sql/webhook_endpoints/list.postgres.sql");
        self.read(sql, &[&id]).await
    }
}

/// The deliveries of a checkpoint, by column.
#[derive(Default)]
struct Columns<'a> {
    event_id: Vec<i64>,
    kind: Vec<&'static str>,
    at: Vec<jiff::Timestamp>,
    message_id: Vec<Option<Uuid>>,
    conversation_id: Vec<Option<i64>>,
    subject_id: Vec<Option<Uuid>>,
    reason: Vec<Option<&'static str>>,
    error_code: Vec<Option<&'a str>>,
    status: Vec<&'static str>,
    due_in_ms: Vec<Option<f64>>,
    attempts: Vec<String>,
}

impl<'a> Columns<'a> {
    fn of(kept: &'a [KeptDelivery]) -> Self {
        let mut columns = Self::default();
        for KeptDelivery {
            event,
            status,
            due_in,
            attempts,
        } in kept
        {
            columns.event_id.push(place(event.id));
            columns.kind.push(event.kind.as_str());
            columns.at.push(event.at.into());
            let (mut subject_id, mut code) = (None, None);
            let reason = match &event.subject {
                EventSubject::Message {
                    reason, error_code, ..
                } => {
                    code = error_code.as_ref().map(|code| code.as_str());
                    reason.map(|reason| reason.as_str())
                }
                EventSubject::WebhookEndpoint { id, reason } => {
                    subject_id = Some(id.as_uuid());
                    Some(reason.as_str())
                }
            };
            columns
                .message_id
                .push(event.subject.message_id().map(|id| id.as_uuid()));
            columns
                .conversation_id
                .push(event.subject.conversation_id().map(|id| id.get()));
            columns.subject_id.push(subject_id);
            columns.reason.push(reason);
            columns.error_code.push(code);
            columns.status.push(status.as_str());
            columns.due_in_ms.push(due_in.map(millis_float));
            columns.attempts.push(json::from_delivery_attempts(attempts));
        }
        columns
    }
}

fn only(found: &[Row]) -> Result<Option<Endpoint>, StoreError> {
    found.first().map(endpoint_of).transpose()
}

fn endpoint_of(row: &Row) -> Result<Endpoint, StoreError> {
    let types: Option<Vec<&str>> = rows::get(row, "types")?;
    let types = types
        .map(|types| types.into_iter().map(str::parse::<EventType>).collect())
        .transpose()
        .map_err(|_| rows::corrupt("types"))?;
    let secret = |secret: Vec<u8>| WebhookSecret(secret.into());
    let previous: Vec<Vec<u8>> = rows::get(row, "previous_secrets")?;
    let until: Vec<jiff::Timestamp> = rows::get(row, "previous_until")?;
    Ok(Endpoint {
        id: rows::get::<Uuid>(row, "id")?.into(),
        config: EndpointConfig {
            url: EndpointUrl(rows::get::<&str>(row, "url")?.into()),
            types,
            payload: rows::word(row, "payload")?,
            description: rows::get::<Option<&str>>(row, "description")?.map(Into::into),
        },
        secret: secret(rows::get(row, "secret")?),
        previous_secrets: previous
            .into_iter()
            .map(secret)
            .zip(until.into_iter().map(Into::into))
            .collect(),
        enabled: rows::get(row, "enabled")?,
        disabled_reason: rows::optional_word(row, "disabled_reason")?,
        created_at: rows::get::<jiff::Timestamp>(row, "created_at")?.into(),
        cursor: event_id(rows::get(row, "cursor")?)?,
        replay_until: rows::get::<Option<i64>>(row, "replay_until")?
            .map(event_id)
            .transpose()?,
        delivered_total: rows::count(rows::get(row, "delivered_total")?)?,
        last_delivered_at: rows::moment(row, "last_delivered_at")?,
        failing_since: rows::moment(row, "failing_since")?,
    })
}

fn delivery_of(row: &Row) -> Result<WebhookDelivery, StoreError> {
    let attempts = json::to_delivery_attempts(rows::get(row, "attempts")?);
    Ok(WebhookDelivery {
        event: event_of(row)?,
        status: rows::word(row, "status")?,
        due_at: rows::moment(row, "due_at")?,
        attempts: attempts.ok_or_else(|| rows::corrupt("attempts"))?,
    })
}

fn event_of(row: &Row) -> Result<Event, StoreError> {
    let subject = match rows::get::<Option<Uuid>>(row, "subject_id")? {
        Some(id) => EventSubject::WebhookEndpoint {
            id: id.into(),
            reason: rows::word(row, "reason")?,
        },
        None => EventSubject::Message {
            message_id: rows::get::<Uuid>(row, "message_id")?.into(),
            conversation_id: ConversationId::new(rows::get(row, "conversation_id")?)
                .ok_or_else(|| rows::corrupt("conversation_id"))?,
            reason: rows::optional_word(row, "reason")?,
            error_code: rows::error_code(row, "error_code")?,
        },
    };
    Ok(Event {
        id: event_id(rows::get(row, "event_id")?)?,
        kind: rows::word(row, "type")?,
        at: rows::get::<jiff::Timestamp>(row, "at")?.into(),
        subject,
    })
}

fn types(types: Option<&[EventType]>) -> Option<Vec<&'static str>> {
    types.map(|types| types.iter().map(|kind| kind.as_str()).collect())
}

/// An event id as a `bigint`: its 16 digits fit.
fn place(event: EventId) -> i64 {
    event.get() as i64
}

fn event_id(place: i64) -> Result<EventId, StoreError> {
    EventId::new(rows::count(place)?).ok_or_else(|| rows::corrupt("event_id"))
}
