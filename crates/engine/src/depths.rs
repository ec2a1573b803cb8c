use std::time::Duration;

use domain::Clock;
use store::{QueueDepth, Store, StoreError};
use tokio::sync::Mutex;

/// A count is reused for ten times as long as it took, so that counting a long outbox takes at most a tenth of the store's time.
const REUSED_FOR: u32 = 10;

/// The outbox entries of each provider, counted when asked for.
#[derive(Debug, Default)]
pub(crate) struct Depths(Mutex<Option<Counted>>);

#[derive(Debug)]
struct Counted {
    depths: Result<Vec<QueueDepth>, StoreError>,
    at: Duration,
    took: Duration,
}

impl Depths {
    /// Counts, unless a recent count can be reused. Callers share one count at a time.
    pub(crate) async fn count(
        &self,
        store: &dyn Store,
        clock: &dyn Clock,
    ) -> Result<Vec<QueueDepth>, StoreError> {
        let asked = clock.monotonic();
        let mut last = self.0.lock().await;
        if let Some(counted) = &*last
            && counted.answers(asked)
        {
            return counted.depths.clone();
        }
        let began = clock.monotonic();
        let depths = store.queue_depths().await;
        let at = clock.monotonic();
        *last = Some(Counted {
            depths: depths.clone(),
            at,
            took: at.saturating_sub(began),
        });
        depths
    }
}

impl Counted {
    fn answers(&self, asked: Duration) -> bool {
        match self.depths {
            Ok(_) => asked.saturating_sub(self.at) < self.took * REUSED_FOR,
            // Callers already waiting share the failure; later callers try again.
            Err(_) => asked <= self.at,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::{SystemClock, Timestamp};
    use store_model::Memory;

    use super::*;

    /// Each reading is a second later than the one before.
    #[derive(Debug, Default)]
    struct Ticking(std::sync::Mutex<u64>);

    impl Clock for Ticking {
        fn now(&self) -> Timestamp {
            Timestamp::MIN
        }

        fn monotonic(&self) -> Duration {
            let mut seconds = self.0.lock().unwrap();
            *seconds += 1;
            Duration::from_secs(*seconds)
        }
    }

    #[tokio::test]
    async fn a_recent_count_is_reused() {
        let store = Memory::new(Arc::new(SystemClock::new()));
        let (depths, clock) = (Depths::default(), Ticking::default());
        let mut counted_at = Vec::new();
        for _ in 0..14 {
            depths.count(&store, &clock).await.unwrap();
            let at = depths.0.lock().await.as_ref().unwrap().at;
            counted_at.push(at.as_secs());
        }
        counted_at.dedup();
        // The count took a second, so it is reused for ten.
        assert_eq!(counted_at, [3, 15]);
    }

    #[test]
    fn a_failure_is_shared_by_callers_who_waited_for_it() {
        let counted = |depths| Counted {
            depths,
            at: Duration::from_secs(5),
            took: Duration::from_secs(2),
        };
        let failed = counted(Err(StoreError::unavailable(store::Outage::Away, "away")));
        let done = counted(Ok(Vec::new()));
        let asked = [3, 5, 6, 24, 25].map(Duration::from_secs);
        assert_eq!(
            asked.map(|at| failed.answers(at)),
            [true, true, false, false, false]
        );
        assert_eq!(asked.map(|at| done.answers(at)), [true, true, true, true, false]);
    }
}
