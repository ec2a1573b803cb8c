//! What happens to a message after a try: a pure function of what is known.

use domain::FailureReason;
use mutants::Mutant;
use providers::SendResult;
use resilience::Backoff;
use store::{Disposition, Progress};

use super::call::Panicked;

/// Panics after which a message is taken to be poison.
const PANICS_MAX: u32 = 3;

/// The rules by which messages are tried again or given up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) attempts_max: u32,
    pub(super) backoff: Backoff,
}

impl Rules {
    /// Decides after a try, and returns the progress that includes it. `probe` says that the try was made to see whether
    /// the provider is back; such a try is on record, but not held against the message.
    pub(super) fn after(
        &self,
        progress: Progress,
        ended: &Result<SendResult, Panicked>,
        probe: bool,
        random: u64,
    ) -> (Progress, Disposition) {
        let tried = Progress {
            attempts: progress.attempts + 1,
            rate_limited_in_a_row: 0,
            ..progress
        };
        let counted = Progress {
            counted: progress.counted + u32::from(!probe),
            ..tried
        };
        match ended {
            Ok(SendResult::Success { .. }) => (counted, Disposition::Finish),
            Ok(SendResult::Rejected { .. }) if mutants::planted(Mutant::RejectionRetried) => {
                (counted, self.retry_or_give_up(counted, random))
            }
            Ok(SendResult::Rejected { .. }) => (counted, Disposition::DeadLetter(FailureReason::Rejected)),
            Ok(SendResult::RateLimited { retry_after, .. }) => {
                let in_a_row = progress.rate_limited_in_a_row + 1;
                let hint = retry_after.filter(|_| !mutants::planted(Mutant::RetryBeforeRetryAfter));
                let after = self.backoff.after_rate_limit(in_a_row, hint, random);
                (
                    Progress {
                        rate_limited_in_a_row: in_a_row,
                        ..tried
                    },
                    Disposition::Retry { after },
                )
            }
            Err(Panicked) if progress.panics + 1 >= PANICS_MAX => (
                Progress {
                    panics: PANICS_MAX,
                    ..counted
                },
                Disposition::DeadLetter(FailureReason::Poison),
            ),
            Err(Panicked) => {
                let progress = Progress {
                    panics: progress.panics + 1,
                    ..counted
                };
                (progress, self.retry_or_give_up(progress, random))
            }
            Ok(SendResult::Error { .. } | SendResult::Timeout) => {
                (counted, self.retry_or_give_up(counted, random))
            }
        }
    }

    /// Whether no try is left. That may be known before a call: the budget may have been larger before this program started.
    pub(super) fn is_exhausted(&self, progress: Progress) -> bool {
        progress.counted >= self.attempts_max && !mutants::planted(Mutant::BudgetIgnored)
    }

    fn retry_or_give_up(&self, progress: Progress, random: u64) -> Disposition {
        if self.is_exhausted(progress) {
            return Disposition::DeadLetter(FailureReason::Exhausted);
        }
        // A probe that failed waits like a first failure: it was not counted, but the provider is no better.
        Disposition::Retry {
            after: self.backoff.delay(progress.counted.max(1), random),
        }
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
    fn success_finishes() {
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
    fn slowing_down_costs_no_attempt_and_waits_for_the_hint() {
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
