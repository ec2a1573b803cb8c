use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{Postgres, millis_float, rows};
use crate::{FollowUpKey, FollowUps, StoreError, TakenFollowUps};

#[async_trait]
impl FollowUps for Postgres {
    async fn take_follow_ups(&self, limit: u32, lease: Duration) -> Result<TakenFollowUps, StoreError> {
        let sql = include_str!("../../sql/follow_ups/take.postgres.sql");
        let found = self
            .write(sql, &[&i64::from(limit), &millis_float(lease)])
            .await?;
        let mut taken = TakenFollowUps::default();
        for row in &found {
            let next_in_ms: Option<i64> = rows::get(row, "next_in_ms")?;
            taken.next_in = next_in_ms
                .map(rows::count)
                .transpose()?
                .map(Duration::from_millis);
            if rows::get::<Option<Uuid>>(row, "message_id")?.is_some() {
                taken.due.push(rows::due_follow_up(row)?);
            }
        }
        Ok(taken)
    }

    async fn finish_follow_ups(&self, done: &[FollowUpKey]) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = done.iter().map(|key| key.message_id.as_uuid()).collect();
        let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let attempts: Vec<i32> = done.iter().map(|key| number(key.attempt)).collect();
        let places: Vec<i32> = done.iter().map(|key| number(key.place)).collect();
        let sql = include_str!("../../sql/follow_ups/finish.postgres.sql");
        self.write(sql, &[&ids, &attempts, &places]).await.map(drop)
    }
}
