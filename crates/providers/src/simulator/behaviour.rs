//! What a simulator does with its n-th call: a pure function, so that a sequence can be repeated anywhere.

use std::time::Duration;

use domain::{Outcome, ReceiptStatus};
use sha2::{Digest, Sha256};

use super::settings::{Faults, ReceiptShares};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Behaviour {
    /// Never responds.
    Hang,
    Fail,
    /// Asks to slow down.
    PushBack,
    /// Rejects the message for good.
    Refuse,
    Accept,
}

impl Behaviour {
    /// The shares lie side by side in this fixed order: timeout, error, rate limited, rejected, success. A newer share comes
    /// after the older ones, so that it takes from the successes only.
    pub(super) fn of(shares: Faults, provider: &str, seed: u64, call: u64) -> Self {
        let draw = percent(seed, provider, call);
        let hang_below = shares.timeout_pct;
        let fail_below = hang_below.saturating_add(shares.error_pct);
        let push_back_below = fail_below.saturating_add(shares.ratelimit_pct);
        let refuse_below = push_back_below.saturating_add(shares.rejected_pct);
        if draw < hang_below {
            Self::Hang
        } else if draw < fail_below {
            Self::Fail
        } else if draw < push_back_below {
            Self::PushBack
        } else if draw < refuse_below {
            Self::Refuse
        } else {
            Self::Accept
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Hang => Outcome::Timeout,
            Self::Fail => Outcome::Error,
            Self::PushBack => Outcome::RateLimited,
            Self::Refuse => Outcome::Rejected,
            Self::Accept => Outcome::Success,
        }
    }

    /// Whether the simulator takes the message of the n-th call. It may do so without a response.
    pub(super) fn takes(self, shares: Faults, provider: &str, seed: u64, call: u64) -> bool {
        match self {
            Self::Accept => true,
            Self::Hang => percent(seed, &own_draw(provider, "taken"), call) < shares.timeout_taken_pct,
            Self::Fail | Self::PushBack | Self::Refuse => false,
        }
    }
}

/// How long the n-th call takes: each whole millisecond of the range is equally likely.
pub(super) fn latency(faults: Faults, provider: &str, seed: u64, call: u64) -> Duration {
    let (least, most) = faults.latency_range();
    let Ok(span @ 1..) = u64::try_from(most.saturating_sub(least).as_millis()) else {
        return least;
    };
    let number = number(seed, &own_draw(provider, "latency"), call);
    least + Duration::from_millis(number % span.saturating_add(1))
}

/// The receipt of the n-th call, if the simulator took the message, and whether it comes twice.
pub(super) fn receipt(
    shares: ReceiptShares,
    provider: &str,
    seed: u64,
    call: u64,
) -> Option<(ReceiptStatus, bool)> {
    let draw_of = |what: &str| percent(seed, &own_draw(provider, what), call);
    let number = draw_of("receipt");
    let status = if number < shares.delivered_pct {
        ReceiptStatus::Delivered
    } else if number < shares.delivered_pct.saturating_add(shares.undelivered_pct) {
        ReceiptStatus::Undelivered
    } else {
        return None;
    };
    Some((status, draw_of("duplicate") < shares.duplicate_pct))
}

/// The name for a draw besides the one of the outcome, so that it does not change the outcomes of a seed.
fn own_draw(provider: &str, what: &str) -> String {
    format!("{provider}/{what}")
}

/// A number from 0 to 99. The modulo makes some numbers more likely, by one in 10^17.
fn percent(seed: u64, name: &str, call: u64) -> u8 {
    (number(seed, name, call) % 100) as u8
}

/// The first eight bytes, as a big-endian number, of the SHA-256 of the seed and the number of the call (eight big-endian bytes
/// each) and a name: the provider's, or one of [`own_draw`].
///
/// A seed gives the same sequence in every version and on every machine; a test pins it.
fn number(seed: u64, name: &str, call: u64) -> u64 {
    let digest = Sha256::new()
        .chain_update(seed.to_be_bytes())
        .chain_update(call.to_be_bytes())
        .chain_update(name)
        .finalize();
    digest[..8]
        .iter()
        .fold(0, |number: u64, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDS: [u64; 3] = [1, 42, u64::MAX];
    const NAMES: [&str; 2] = ["sms-mms", "email"];
    const CALLS: u64 = 200;

    fn shares([timeout_pct, error_pct, ratelimit_pct, rejected_pct]: [u8; 4]) -> Faults {
        Faults {
            timeout_pct,
            error_pct,
            ratelimit_pct,
            rejected_pct,
            ..Faults::default()
        }
    }

    /// Calls `check` for many calls of several sequences.
    fn each_call(check: impl Fn(&str, u64, u64)) {
        for (seed, name) in SEEDS.into_iter().flat_map(|seed| NAMES.map(|name| (seed, name))) {
            (1..=CALLS).for_each(|call| check(name, seed, call));
        }
    }

    /// Another program computed these from the description above.
    #[test]
    fn draws_are_pinned() {
        let first: [u64; 12] = std::array::from_fn(|i| i as u64 + 1);
        let draws = |seed, name| first.map(|call| percent(seed, name, call));
        assert_eq!(
            draws(42, "sms-mms"),
            [91, 14, 4, 50, 81, 70, 55, 0, 75, 89, 88, 4]
        );
        assert_eq!(
            draws(42, "email"),
            [28, 35, 52, 59, 72, 84, 42, 8, 63, 93, 33, 20]
        );
        assert_eq!(
            [1, 2, u64::MAX].map(|call| percent(u64::MAX, "email", call)),
            [46, 86, 46]
        );
        assert_eq!(
            draws(42, &own_draw("sms-mms", "taken")),
            [41, 85, 93, 95, 97, 66, 27, 87, 0, 74, 80, 9]
        );
        let spread = Faults {
            latency: Duration::from_millis(20),
            latency_max: Some(Duration::from_millis(80)),
            ..Faults::default()
        };
        assert_eq!(
            first.map(|call| latency(spread, "sms-mms", 42, call).as_millis()),
            [31, 27, 54, 64, 35, 34, 67, 69, 61, 24, 77, 23]
        );
    }

    /// Of the first version of the simulator, which knew three shares: seeds in use must go on meaning the same.
    #[test]
    fn the_sequences_of_old_configurations_are_pinned() {
        for (old, seed, name, expected) in [
            (
                [10, 30, 10],
                42,
                "sms-mms",
                "SETSSSSTSSSTSEEESSSSESSSSETESERESSESTRTS",
            ),
            (
                [5, 40, 10],
                42,
                "email",
                "EERSSSEESSEESESESESRSSETRSSTESSSEESSSEEE",
            ),
            (
                [25, 0, 25],
                7,
                "primary",
                "SSRRRSTSTSTSSSSTTTSSSTRTTSSTSSRRTTTRRTRS",
            ),
            ([0, 0, 0], 1, "email", "SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS"),
        ] {
            let [timeout, error, ratelimit] = old;
            let letter = |call| match Behaviour::of(shares([timeout, error, ratelimit, 0]), name, seed, call)
            {
                Behaviour::Hang => 'T',
                Behaviour::Fail => 'E',
                Behaviour::PushBack => 'R',
                Behaviour::Accept => 'S',
                Behaviour::Refuse => panic!("none are refused"),
            };
            assert_eq!((1..=40).map(letter).collect::<String>(), expected, "{old:?}");
        }
        let receipts = ReceiptShares {
            delivered_pct: 60,
            undelivered_pct: 20,
            duplicate_pct: 10,
            ..ReceiptShares::default()
        };
        let letter = |call| match receipt(receipts, "sms-mms", 42, call) {
            None => '-',
            Some((ReceiptStatus::Delivered, false)) => 'd',
            Some((ReceiptStatus::Delivered, true)) => 'D',
            Some((_, false)) => 'u',
            Some((_, true)) => 'U',
        };
        assert_eq!(
            (1..=40).map(letter).collect::<String>(),
            "udddDddddd-dd-Uudd-dduddd-dudduddd-ddddd"
        );
    }

    #[test]
    fn the_newer_faults_change_only_successes() {
        for old in [[0, 0, 0], [10, 30, 10], [50, 0, 0], [0, 33, 33], [40, 30, 30]] {
            let [timeout, error, ratelimit] = old;
            let rejected = 100 - timeout - error - ratelimit;
            let before = shares([timeout, error, ratelimit, 0]);
            let after = Faults {
                rejected_pct: rejected,
                timeout_taken_pct: 50,
                latency_max: Some(Duration::from_secs(1)),
                ..before
            };
            each_call(|name, seed, call| {
                let of = |shares| Behaviour::of(shares, name, seed, call);
                let expected = match of(before) {
                    Behaviour::Accept => Behaviour::Refuse,
                    failure => failure,
                };
                assert_eq!(of(after), expected, "{old:?} {name} {seed} {call}");
            });
        }
    }

    /// The draws of calls 8, 3, 2 and 4 are 0, 4, 14 and 50.
    #[test]
    fn buckets_lie_in_a_fixed_order_with_exact_edges() {
        use Behaviour::{Accept, Fail, Hang, PushBack, Refuse};
        let cases = [
            ([0, 0, 0, 0], [Accept, Accept, Accept, Accept]),
            ([100, 0, 0, 0], [Hang, Hang, Hang, Hang]),
            ([0, 100, 0, 0], [Fail, Fail, Fail, Fail]),
            ([0, 0, 100, 0], [PushBack, PushBack, PushBack, PushBack]),
            ([0, 0, 0, 100], [Refuse, Refuse, Refuse, Refuse]),
            ([4, 10, 36, 0], [Hang, Fail, PushBack, Accept]),
            ([5, 10, 36, 0], [Hang, Hang, Fail, PushBack]),
            ([1, 4, 10, 0], [Hang, Fail, PushBack, Accept]),
            ([1, 3, 46, 0], [Hang, PushBack, PushBack, Accept]),
            ([1, 3, 47, 0], [Hang, PushBack, PushBack, PushBack]),
            ([1, 4, 9, 36], [Hang, Fail, Refuse, Accept]),
            ([1, 4, 10, 36], [Hang, Fail, PushBack, Refuse]),
        ];
        for (all, expected) in cases {
            let behaviours = [8, 3, 2, 4].map(|call| Behaviour::of(shares(all), "sms-mms", 42, call));
            assert_eq!(behaviours, expected, "{all:?}");
        }
    }

    /// The first draws for this are 41, 85, 93 and 95.
    #[test]
    fn a_share_of_timeouts_and_every_success_is_taken() {
        let calls = [1, 2, 3, 4];
        for (timeout_taken_pct, expected) in [
            (0, [false, false, false, false]),
            (41, [false, false, false, false]),
            (42, [true, false, false, false]),
            (94, [true, true, true, false]),
            (100, [true, true, true, true]),
        ] {
            let faults = Faults {
                timeout_taken_pct,
                ..Faults::default()
            };
            let taken = |behaviour: Behaviour| calls.map(|call| behaviour.takes(faults, "sms-mms", 42, call));
            assert_eq!(taken(Behaviour::Hang), expected, "{timeout_taken_pct}");
            assert_eq!(taken(Behaviour::Accept), [true; 4]);
            for failure in [Behaviour::Fail, Behaviour::PushBack, Behaviour::Refuse] {
                assert_eq!(taken(failure), [false; 4], "{failure:?}");
            }
        }
    }

    #[test]
    fn latencies_stay_in_their_range_and_reach_both_ends() {
        let milliseconds = Duration::from_millis;
        for (least, most, expected) in [
            (0, None, 0..=0),
            (70, None, 70..=70),
            (70, Some(70), 70..=70),
            (0, Some(1), 0..=1),
            (20, Some(30), 20..=30),
        ] {
            let faults = Faults {
                latency: milliseconds(least),
                latency_max: most.map(milliseconds),
                ..Faults::default()
            };
            for name in NAMES {
                let drawn = (1..=CALLS).map(|call| latency(faults, name, 42, call).as_millis());
                let drawn: std::collections::BTreeSet<_> = drawn.collect();
                assert!(drawn.into_iter().eq(expected.clone()), "{name} {faults:?}");
            }
        }
    }
}
