use std::time::Duration;

use async_trait::async_trait;
use domain::EventId;

use crate::Memory;
use store::{EventLog, Events, EventsRead, StoreError};

#[async_trait]
impl Events for Memory {
    async fn events(&self, after: EventId, limit: u32) -> Result<EventsRead, StoreError> {
        let _ = (after, limit);
        Err(StoreError::Refused("not built yet".to_owned()))
    }

    async fn event_log(&self) -> Result<EventLog, StoreError> {
        Err(StoreError::Refused("not built yet".to_owned()))
    }

    async fn purge_events(&self, kept: Duration, limit: u32) -> Result<u64, StoreError> {
        let _ = (kept, limit);
        Err(StoreError::Refused("not built yet".to_owned()))
    }
}
