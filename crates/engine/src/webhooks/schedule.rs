//! When a failed delivery is tried again.

use std::time::Duration;

use resilience::jitter;

/// After the first failure, the second … and after all later ones.
const DELAYS: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(5 * 3_600),
    Duration::from_secs(10 * 3_600),
    Duration::from_secs(12 * 3_600),
];
/// How long an event is tried, and how long an endpoint may fail before it is disabled.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(3 * 24 * 3_600);
/// Jitter spreads a delay over this part of it.
const JITTER_SHARE: u32 = 5;

/// The delay after the `attempts`th attempt (from 1), which ended `age` after the first began: as planned, but for a last attempt at
/// [`GIVE_UP_AFTER`]. It is never shorter than `retry_after`, of which [`GIVE_UP_AFTER`] counts at most.
pub(super) fn delay(attempts: usize, age: Duration, retry_after: Option<Duration>, random: u64) -> Duration {
    let planned = DELAYS[attempts.clamp(1, DELAYS.len()) - 1];
    let jittered = jitter::around(planned, planned / JITTER_SHARE, random);
    let left = GIVE_UP_AFTER.saturating_sub(age);
    let in_time = if left.is_zero() {
        jittered
    } else {
        jittered.min(left)
    };
    in_time.max(retry_after.unwrap_or_default().min(GIVE_UP_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eleven_to_thirteen_attempts_fill_three_days_and_the_last_is_made_at_their_end() {
        for random in [0, u64::MAX / 2, u64::MAX] {
            let (mut age, mut attempts) = (Duration::ZERO, 1);
            while age < GIVE_UP_AFTER {
                age += delay(attempts, age, None, random);
                attempts += 1;
            }
            assert_eq!(age, GIVE_UP_AFTER);
            assert!((11..=13).contains(&attempts), "{attempts}");
        }
    }

    #[test]
    fn a_delay_is_near_its_plan_and_never_before_retry_after() {
        let delay = |attempts, hint, random| delay(attempts, Duration::ZERO, hint, random);
        assert_eq!(delay(1, None, 0), Duration::from_millis(4_500));
        assert_eq!(delay(1, None, u64::MAX), Duration::from_millis(5_500));
        assert_eq!(delay(99, None, u64::MAX / 2 + 1), Duration::from_secs(12 * 3_600));
        let minute = Duration::from_secs(60);
        assert_eq!(delay(1, Some(minute), 0), minute);
        assert_eq!(delay(1, Some(Duration::MAX), 0), GIVE_UP_AFTER);
    }
}
