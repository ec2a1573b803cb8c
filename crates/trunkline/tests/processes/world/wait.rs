use std::{sync::LazyLock, time::Duration};

use domain::{Clock, SystemClock};

/// Long enough for the slowest machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// Pause between two checks of a condition.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Calls `look` until it finds something. Fails after `bound`.
pub(crate) async fn until<T>(what: &str, bound: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let watch = Stopwatch::start();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(watch.elapsed() < bound, "waited {bound:?} until {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Measures how long something took.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Duration);

static CLOCK: LazyLock<SystemClock> = LazyLock::new(SystemClock::new);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(CLOCK.monotonic())
    }

    pub(crate) fn elapsed(self) -> Duration {
        CLOCK.monotonic().saturating_sub(self.0)
    }
}
