use std::time::Duration;

use domain::Clock;
use store::{QueueDepth, Store, StoreError};
use tokio::sync::Mutex;

/// How many times longer than the counting took, its result is used: counting a long queue costs the store no more than
/// a tenth of its time, however many ask.
const REUSED_FOR: u32 = 10;

/// How much waits in the queues.
#[derive(Debug, Default)]
pub(crate) struct Depths(Mutex<Option<Counted>>);

#[derive(Debug)]
struct Counted {
    depths: Result<Vec<QueueDepth>, StoreError>,
    at: Duration,
    took: Duration,
}

impl Depths {
    /// Counts, unless that was done just now.
    pub(crate) async fn count(
        &self,
        store: &dyn Store,
        clock: &dyn Clock,
    ) -> Result<Vec<QueueDepth>, StoreError> {
        let mut last = self.0.lock().await;
        let began = clock.monotonic();
        if let Some(Counted { depths, at, took }) = &*last
            && began.saturating_sub(*at) < *took * REUSED_FOR
        {
            return depths.clone();
        }
        // A failure as well: whoever waited for the same would only wait as long again.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::{SystemClock, Timestamp};
    use store::Memory;

    use super::*;

    /// Every look at it is a second later.
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
    async fn what_was_counted_just_now_is_not_counted_again() {
        let store = Memory::new(Arc::new(SystemClock::new()));
        let (depths, clock) = (Depths::default(), Ticking::default());
        let mut counted_at = Vec::new();
        for _ in 0..14 {
            depths.count(&store, &clock).await.unwrap();
            let at = depths.0.lock().await.as_ref().unwrap().at;
            counted_at.push(at.as_secs());
        }
        counted_at.dedup();
        // It took a second, and so was used for the ten after that.
        assert_eq!(counted_at, [2, 13]);
    }
}
