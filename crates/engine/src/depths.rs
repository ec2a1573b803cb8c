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
    /// Counts, unless that was done just now, or failed while the caller waited for its turn.
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
    /// Whether this is good enough for somebody who asked at this moment.
    fn answers(&self, asked: Duration) -> bool {
        match self.depths {
            Ok(_) => asked.saturating_sub(self.at) < self.took * REUSED_FOR,
            // Whoever waited for the same would only wait as long again. Whoever comes later finds out anew, or a store
            // that is back would not be noticed.
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
        assert_eq!(counted_at, [3, 15]);
    }

    #[test]
    fn a_failure_answers_only_those_who_waited_for_it() {
        let counted = |depths| Counted {
            depths,
            at: Duration::from_secs(5),
            took: Duration::from_secs(2),
        };
        let failed = counted(Err(StoreError::Unavailable("away".to_owned())));
        let done = counted(Ok(Vec::new()));
        let asked = [3, 5, 6, 24, 25].map(Duration::from_secs);
        assert_eq!(
            asked.map(|at| failed.answers(at)),
            [true, true, false, false, false]
        );
        assert_eq!(asked.map(|at| done.answers(at)), [true, true, true, true, false]);
    }
}
