//! What happens to a message after an attempt. Pure functions.

use domain::{FailureReason, ProviderName};
use providers::SendResult;
use resilience::Backoff;
use store::{Disposition, Progress};

use super::call::Panicked;

/// Panics after which a message counts as poison.
const PANICS_MAX: u32 = 3;

/// When messages are retried, and when they become dead letters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) attempts_max: u32,
    pub(super) backoff: Backoff,
}

/// When a message moves to the next provider of its route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failover {
    /// After so many attempts that the provider certainly did not take.
    pub(super) after: u32,
    pub(super) next: ProviderName,
}

impl Rules {
    /// What happens after an attempt, and the progress that includes it. A probe of a half-open breaker is recorded, but not
    /// counted against the message.
    pub(super) fn after(
        &self,
        before: Progress,
        ended: &Result<SendResult, Panicked>,
        probe: bool,
        random: u64,
    ) -> (Progress, Disposition) {
        let mut progress = Progress {
            attempts: before.attempts + 1,
            counted: before.counted + u32::from(!probe),
            rate_limited_in_a_row: 0,
            ..before
        };
        let disposition = match ended {
            Ok(SendResult::Success { .. }) => Disposition::Finish,
            Ok(SendResult::Rejected { .. }) => Disposition::DeadLetter(FailureReason::Rejected),
            Ok(SendResult::RateLimited { retry_after, .. }) => {
                progress.counted = before.counted;
                progress.not_taken += 1;
                progress.rate_limited_in_a_row = before.rate_limited_in_a_row + 1;
                let in_a_row = progress.rate_limited_in_a_row;
                Disposition::Retry {
                    after: self.backoff.after_rate_limit(in_a_row, *retry_after, random),
                }
            }
            Ok(SendResult::Error { .. }) => {
                progress.not_taken += 1;
                self.retry_or_give_up(progress, random)
            }
            Ok(SendResult::Timeout) => {
                progress.unsure = true;
                self.retry_or_give_up(progress, random)
            }
            Err(Panicked) => {
                progress.panics += 1;
                if progress.panics >= PANICS_MAX {
                    Disposition::DeadLetter(FailureReason::Poison)
                } else {
                    self.retry_or_give_up(progress, random)
                }
            }
        };
        (progress, disposition)
    }

    /// Whether no attempt is left. It may be so before a call: an earlier run of the program may have allowed more attempts.
    pub(super) fn is_exhausted(&self, progress: Progress) -> bool {
        progress.counted >= self.attempts_max
    }

    fn retry_or_give_up(&self, progress: Progress, random: u64) -> Disposition {
        if self.is_exhausted(progress) {
            return Disposition::DeadLetter(FailureReason::Exhausted);
        }
        // A failed probe was not counted, but waits like a first failure.
        Disposition::Retry {
            after: self.backoff.delay(progress.counted.max(1), random),
        }
    }
}

/// Reroutes a message that would be retried, once enough attempts were certainly not taken. A message that a provider may have
/// stays, since another provider would send it twice. After a timeout or a panic, a provider may have it.
pub(super) fn fail_over(
    progress: Progress,
    disposition: Disposition,
    failover: Option<Failover>,
) -> (Progress, Disposition) {
    let may_move =
        matches!(disposition, Disposition::Retry { .. }) && !progress.unsure && progress.panics == 0;
    match failover.filter(|failover| may_move && progress.not_taken >= failover.after) {
        Some(Failover { next, .. }) => {
            let progress = Progress {
                not_taken: 0,
                rate_limited_in_a_row: 0,
                ..progress
            };
            (progress, Disposition::Reroute { provider: next })
        }
        None => (progress, disposition),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::ErrorCode;
    use proptest::prelude::*;

    use super::*;

    const LONGEST: u64 = u64::MAX;

    fn rules() -> Rules {
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(900)).unwrap();
        Rules {
            attempts_max: 3,
            backoff,
        }
    }

    fn code() -> ErrorCode {
        ErrorCode::of("provider_error")
    }

    fn error() -> Result<SendResult, Panicked> {
        Ok(SendResult::Error { error_code: code() })
    }

    fn rate_limited(seconds: u64) -> Result<SendResult, Panicked> {
        let retry_after = Some(Duration::from_secs(seconds));
        Ok(SendResult::RateLimited {
            retry_after,
            error_code: code(),
        })
    }

    #[test]
    fn a_success_finishes_the_entry() {
        let (progress, disposition) = rules().after(
            Progress::default(),
            &Ok(SendResult::Success {
                provider_message_id: None,
            }),
            false,
            LONGEST,
        );
        assert_eq!(disposition, Disposition::Finish);
        assert_eq!(progress.attempts, 1);
    }

    #[test]
    fn failures_back_off_until_the_budget_is_used_up() {
        let (first, disposition) = rules().after(Progress::default(), &error(), false, LONGEST);
        assert_eq!(
            disposition,
            Disposition::Retry {
                after: Duration::from_millis(500)
            }
        );
        let timeout = Ok(SendResult::Timeout);
        let (second, disposition) = rules().after(first, &timeout, false, LONGEST);
        assert_eq!(
            disposition,
            Disposition::Retry {
                after: Duration::from_secs(1)
            }
        );
        let (third, disposition) = rules().after(second, &error(), false, LONGEST);
        assert_eq!(disposition, Disposition::DeadLetter(FailureReason::Exhausted));
        assert_eq!((third.attempts, third.counted), (3, 3));
    }

    #[test]
    fn a_rejection_is_final_at_once() {
        let rejected = Ok(SendResult::Rejected { error_code: code() });
        let (_, disposition) = rules().after(Progress::default(), &rejected, false, LONGEST);
        assert_eq!(disposition, Disposition::DeadLetter(FailureReason::Rejected));
    }

    #[test]
    fn rate_limited_attempts_are_not_counted_and_wait_for_retry_after() {
        let mut progress = Progress {
            counted: 2,
            ..Progress::default()
        };
        for in_a_row in 1..=20 {
            let disposition;
            (progress, disposition) = rules().after(progress, &rate_limited(7), false, 0);
            assert!(matches!(disposition, Disposition::Retry { after } if after >= Duration::from_secs(7)));
            assert_eq!((progress.counted, progress.rate_limited_in_a_row), (2, in_a_row));
        }
        let (progress, _) = rules().after(progress, &error(), true, 0);
        assert_eq!(progress.rate_limited_in_a_row, 0);
    }

    #[test]
    fn probes_are_on_record_but_do_not_count() {
        let almost = Progress {
            attempts: 2,
            counted: 2,
            ..Progress::default()
        };
        let (progress, disposition) = rules().after(almost, &error(), true, LONGEST);
        assert!(matches!(disposition, Disposition::Retry { .. }));
        assert_eq!((progress.attempts, progress.counted), (3, 2));
    }

    #[test]
    fn the_third_panic_is_poison() {
        let mut generous = rules();
        generous.attempts_max = 100;
        let mut progress = Progress::default();
        for _ in 0..2 {
            let disposition;
            (progress, disposition) = generous.after(progress, &Err(Panicked), false, LONGEST);
            assert!(matches!(disposition, Disposition::Retry { .. }));
        }
        let (_, disposition) = generous.after(progress, &Err(Panicked), false, LONGEST);
        assert_eq!(disposition, Disposition::DeadLetter(FailureReason::Poison));
    }

    /// Whether each of these attempts, made one after another, reroutes the message.
    fn rerouted(ends: &[Result<SendResult, Panicked>]) -> Vec<bool> {
        let mut generous = rules();
        generous.attempts_max = 10;
        let mut progress = Progress::default();
        let after = |ended| {
            let (tried, decided) = generous.after(progress, ended, false, LONGEST);
            let disposition;
            (progress, disposition) = fail_over(tried, decided, backup_after(2));
            matches!(disposition, Disposition::Reroute { .. })
        };
        ends.iter().map(after).collect()
    }

    fn backup_after(after: u32) -> Option<Failover> {
        let next = "backup".parse().unwrap();
        Some(Failover { after, next })
    }

    #[test]
    fn the_next_provider_takes_over_after_attempts_that_were_certainly_not_taken() {
        assert_eq!(rerouted(&[error(), error()]), [false, true]);
        assert_eq!(rerouted(&[rate_limited(60), error()]), [false, true]);
        assert_eq!(rerouted(&[rate_limited(60), rate_limited(60)]), [false, true]);
        // The next provider starts anew.
        let four = [error(), rate_limited(1), error(), error()];
        assert_eq!(rerouted(&four), [false, true, false, true]);
    }

    #[test]
    fn a_message_that_a_provider_may_have_is_never_rerouted() {
        for unsure in [Ok(SendResult::Timeout), Err(Panicked)] {
            for place in 0..3 {
                let mut ends = vec![error(); 5];
                ends.insert(place, unsure.clone());
                let moved = rerouted(&ends).iter().skip(place).any(|moved| *moved);
                assert!(!moved, "{unsure:?} in place {place}");
            }
        }
    }

    #[test]
    fn only_what_would_be_retried_is_rerouted() {
        let progress = Progress {
            not_taken: 5,
            ..Progress::default()
        };
        let retry = Disposition::Retry {
            after: Duration::from_secs(1),
        };
        for kept in [
            Disposition::Finish,
            Disposition::DeadLetter(FailureReason::Exhausted),
        ] {
            assert_eq!(
                fail_over(progress, kept.clone(), backup_after(1)),
                (progress, kept)
            );
        }
        assert_eq!(fail_over(progress, retry.clone(), None), (progress, retry));
    }

    proptest! {
        #[test]
        fn attempts_always_grow_by_one_and_never_exceed_the_budget(
            replies in proptest::collection::vec((0_u8..4, any::<bool>(), any::<u64>()), 0..60)
        ) {
            let mut progress = Progress::default();
            for (kind, probe, random) in replies {
                let reply = match kind {
                    0 => error(),
                    1 => rate_limited(3),
                    2 => Err(Panicked),
                    _ => Ok(SendResult::Timeout),
                };
                let (next, disposition) = rules().after(progress, &reply, probe, random);
                prop_assert_eq!(next.attempts, progress.attempts + 1);
                prop_assert!(next.counted <= 3);
                if matches!(disposition, Disposition::DeadLetter(_)) {
                    break;
                }
                progress = next;
            }
        }
    }
}
