use std::time::Duration;

use async_trait::async_trait;
use domain::EventId;

use super::{Postgres, millis_float, rows};
use crate::{EventLog, Events, EventsRead, StoreError};

/// How many rows of the log one statement places. Its effort grows with the square.
const PLACED_MAX: i64 = 200;
/// The most events that one call returns. An event has less than 300 bytes.
const READ_MAX: u32 = 10_000;

#[async_trait]
impl Events for Postgres {
    async fn events(&self, after: EventId, limit: u32) -> Result<EventsRead, StoreError> {
        self.place_events().await?;
        let after_position = after.get() as i64;
        let sql = include_str!("../../sql/events/list.postgres.sql");
        let limit = i64::from(limit.min(READ_MAX));
        let rows = self.events.read(sql, &[&after_position, &limit]).await?;
        let start = rows.first().ok_or_else(no_log)?;
        let start = rows::event_id(start, "start_position")?;
        if after < start {
            return Ok(EventsRead::Expired { start });
        }
        let mut events = Vec::with_capacity(rows.len());
        // Without events there is one row without one.
        for row in &rows {
            if rows::get::<Option<i64>>(row, "position")?.is_some() {
                events.push(rows::event(row)?);
            }
        }
        Ok(EventsRead::Events(events))
    }

    async fn event_log(&self) -> Result<EventLog, StoreError> {
        self.place_events().await?;
        let sql = include_str!("../../sql/events/log.postgres.sql");
        let rows = self.events.read(sql, &[]).await?;
        let row = rows.first().ok_or_else(no_log)?;
        Ok(EventLog {
            start: rows::event_id(row, "start_position")?,
            end: rows::event_id(row, "end_position")?,
        })
    }

    async fn purge_events(&self, kept: Duration, limit: u32) -> Result<u64, StoreError> {
        let sql = include_str!("../../sql/events/purge.postgres.sql");
        let rows = self.write(sql, &[&millis_float(kept), &i64::from(limit)]).await?;
        rows::count(rows.first().map_or(Ok(0), |row| rows::get(row, "purged"))?)
    }
}

impl Postgres {
    /// Gives all committed events their positions.
    pub(super) async fn place_events(&self) -> Result<(), StoreError> {
        let sql = include_str!("../../sql/events/place.postgres.sql");
        loop {
            let rows = self.events.query(sql, &[&PLACED_MAX]).await;
            let rows = rows.map_err(StoreError::of_nothing_changed)?;
            let placed = rows
                .first()
                .map_or(Ok(0), |row| rows::get::<i64>(row, "batches"))?;
            if placed < PLACED_MAX {
                return Ok(());
            }
        }
    }
}

fn no_log() -> StoreError {
    StoreError::Refused("the table event_log is empty: restore its one row".to_owned())
}
