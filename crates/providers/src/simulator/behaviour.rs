//! What a simulator does with its n-th call: a pure function, so that a sequence can be repeated anywhere.

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
    Accept,
}

impl Behaviour {
    /// The shares lie side by side in this fixed order: timeout, error, rate limited, success.
    pub(super) fn of(shares: Faults, provider: &str, seed: u64, call: u64) -> Self {
        let draw = draw(seed, provider, call);
        let hang_below = shares.timeout_pct;
        let fail_below = hang_below.saturating_add(shares.error_pct);
        let push_back_below = fail_below.saturating_add(shares.ratelimit_pct);
        if draw < hang_below {
            Self::Hang
        } else if draw < fail_below {
            Self::Fail
        } else if draw < push_back_below {
            Self::PushBack
        } else {
            Self::Accept
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Hang => Outcome::Timeout,
            Self::Fail => Outcome::Error,
            Self::PushBack => Outcome::RateLimited,
            Self::Accept => Outcome::Success,
        }
    }
}

/// The receipt of the n-th call, if the simulator took the message, and whether it comes twice. Draws of their own, so that
/// receipts do not change the outcomes of a seed.
pub(super) fn receipt(
    shares: ReceiptShares,
    provider: &str,
    seed: u64,
    call: u64,
) -> Option<(ReceiptStatus, bool)> {
    let draw_of = |what: &str| draw(seed, &format!("{provider}/{what}"), call);
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

/// A number from 0 to 99: the first eight bytes, as a big-endian number modulo 100, of the SHA-256 of the
/// seed and the number of the call (eight big-endian bytes each) and the provider's name.
///
/// A seed gives the same sequence in every version and on every machine; a test pins it. The modulo favours some
/// draws by one in 10^17.
fn draw(seed: u64, provider: &str, call: u64) -> u8 {
    let digest = Sha256::new()
        .chain_update(seed.to_be_bytes())
        .chain_update(call.to_be_bytes())
        .chain_update(provider)
        .finalize();
    let number = digest[..8]
        .iter()
        .fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    (number % 100) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(timeout_pct: u8, error_pct: u8, ratelimit_pct: u8) -> Faults {
        Faults {
            timeout_pct,
            error_pct,
            ratelimit_pct,
            seed: None,
        }
    }

    /// Another program computed these from the description above.
    #[test]
    fn draws_are_pinned() {
        let draws = |seed, provider, calls: [u64; 12]| calls.map(|call| draw(seed, provider, call));
        let first = std::array::from_fn(|i| i as u64 + 1);
        assert_eq!(
            draws(42, "sms-mms", first),
            [91, 14, 4, 50, 81, 70, 55, 0, 75, 89, 88, 4]
        );
        assert_eq!(
            draws(42, "email", first),
            [28, 35, 52, 59, 72, 84, 42, 8, 63, 93, 33, 20]
        );
        assert_eq!(
            [1, 2, u64::MAX].map(|call| draw(u64::MAX, "email", call)),
            [46, 86, 46]
        );
    }

    /// The draws of calls 8, 3, 2 and 4 are 0, 4, 14 and 50.
    #[test]
    fn buckets_lie_in_a_fixed_order_with_exact_edges() {
        use Behaviour::{Accept, Fail, Hang, PushBack};
        let cases = [
            (shares(0, 0, 0), [Accept, Accept, Accept, Accept]),
            (shares(100, 0, 0), [Hang, Hang, Hang, Hang]),
            (shares(0, 100, 0), [Fail, Fail, Fail, Fail]),
            (shares(0, 0, 100), [PushBack, PushBack, PushBack, PushBack]),
            (shares(4, 10, 36), [Hang, Fail, PushBack, Accept]),
            (shares(5, 10, 36), [Hang, Hang, Fail, PushBack]),
            (shares(1, 4, 10), [Hang, Fail, PushBack, Accept]),
            (shares(1, 3, 46), [Hang, PushBack, PushBack, Accept]),
            (shares(1, 3, 47), [Hang, PushBack, PushBack, PushBack]),
        ];
        for (shares, expected) in cases {
            let behaviours = [8, 3, 2, 4].map(|call| Behaviour::of(shares, "sms-mms", 42, call));
            assert_eq!(behaviours, expected, "{shares:?}");
        }
    }
}
