use std::time::Duration;

use async_trait::async_trait;
use domain::{DeliveryStatus, EventId, LeaseToken, Page, PageRequest, WebhookEndpointId};

use super::Sqlite;
use crate::{
    Checkpoint, Endpoint, EndpointChange, LeasedEndpoint, NewEndpoint, ReplayFrom, StoreError,
    WebhookDelivery, Webhooks,
};

#[async_trait]
impl Webhooks for Sqlite {
    async fn create_endpoint(
        &self,
        endpoint: &NewEndpoint,
        max: u32,
    ) -> Result<Option<Endpoint>, StoreError> {
        let _ = (endpoint, max);
        Err(StoreError::Refused("not built yet".to_owned()))
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        Err(StoreError::Refused("not built yet".to_owned()))
    }

    async fn endpoint(&self, id: WebhookEndpointId) -> Result<Option<Endpoint>, StoreError> {
        let _ = (id,);
        Err(StoreError::Refused("not built yet".to_owned()))
    }

    async fn change_endpoint(
        &self,
        id: WebhookEndpointId,
        change: &EndpointChange,
    ) -> Result<Option<Endpoint>, StoreError> {
        let _ = (id, change);
        Err(StoreError::Refused("not built yet".to_owned()))
    }

    async fn delete_endpoint(&self, id: WebhookEndpointId) -> Result<bool, StoreError> {
        let _ = (id,);
        Err(StoreError::Refused("not built yet".to_owned()))
    }

    async fn replay(&self, id: WebhookEndpointId, from: ReplayFrom) -> Result<Option<Endpoint>, StoreError> {
        let _ = (id, from);
        Err(StoreError::Refused("not built yet".to_owned()))
    }

    async fn lease_endpoints(
        &self,
        lease: Duration,
        deliveries_max: u32,
    ) -> Result<Vec<LeasedEndpoint>, StoreError> {
        let _ = (lease, deliveries_max);
        Err(StoreError::Refused("not built yet".to_owned()))
    }

    async fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<bool, StoreError> {
        let _ = (checkpoint,);
        Err(StoreError::Refused("not built yet".to_owned()))
    }

    async fn release_endpoint(&self, id: WebhookEndpointId, token: LeaseToken) -> Result<(), StoreError> {
        let _ = (id, token);
        Err(StoreError::Refused("not built yet".to_owned()))
    }

    async fn deliveries(
        &self,
        id: WebhookEndpointId,
        status: Option<DeliveryStatus>,
        page: &PageRequest<EventId>,
    ) -> Result<Option<Page<WebhookDelivery, EventId>>, StoreError> {
        let _ = (id, status, page);
        Err(StoreError::Refused("not built yet".to_owned()))
    }

    async fn purge_deliveries(&self, limit: u32) -> Result<u64, StoreError> {
        let _ = (limit,);
        Err(StoreError::Refused("not built yet".to_owned()))
    }
}
