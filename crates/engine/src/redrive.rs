use domain::MessageId;
use store::{RedriveFilter, Redriven, StoreError};

use crate::Engine;

/// Dead letters redriven in one transaction.
const REDRIVE_BATCH_MAX: u32 = 500;

impl Engine {
    /// Makes a dead letter pending again, with a fresh budget and deadline.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn redrive(&self, id: MessageId) -> Result<Redriven, StoreError> {
        let redriven = self.store.redrive(id, self.deadlines()).await?;
        self.dispatcher.wake_all();
        Ok(redriven)
    }

    /// Makes all matching dead letters pending again, in batches, and returns how many.
    ///
    /// # Errors
    /// When the store is away; what was redriven before that stays so, and asking again does the rest.
    pub async fn redrive_matching(&self, filter: &RedriveFilter) -> Result<u64, StoreError> {
        // Messages that fail again while this runs are not meant: they would keep it busy for ever.
        let now = self.clock.now();
        let failed_before = Some(filter.failed_before.map_or(now, |instant| instant.min(now)));
        let filter = RedriveFilter {
            failed_before,
            ..filter.clone()
        };
        let mut redriven = 0;
        loop {
            let batch = self
                .store
                .redrive_matching(&filter, self.deadlines(), REDRIVE_BATCH_MAX)
                .await?;
            redriven += batch;
            self.dispatcher.wake_all();
            if batch < u64::from(REDRIVE_BATCH_MAX) {
                return Ok(redriven);
            }
        }
    }
}
