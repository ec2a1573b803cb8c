//! A read of one message agrees with itself, also while the message is in flight.

use domain::{Direction, Outcome, Status};
use store::MessageDetail;

pub(super) const RULE: &str = "a message read on its way agrees with its attempts";

pub(super) fn contradiction(detail: &MessageDetail) -> Option<String> {
    let attempts = &detail.attempts;
    let numbered = attempts
        .iter()
        .zip(1..)
        .all(|(attempt, number)| attempt.number == number);
    let successes = attempts
        .iter()
        .filter(|attempt| attempt.outcome == Outcome::Success)
        .count();
    // The node that sent it could not record it before its lease expired.
    let known_late = attempts
        .iter()
        .any(|attempt| attempt.late_outcome == Some(Outcome::Success));
    let proved = !detail.receipts.is_empty();
    let agrees = match (detail.message.direction, detail.message.status) {
        (Direction::Inbound, status) => status == Status::Received && attempts.is_empty(),
        (_, Status::Scheduled) => attempts.is_empty(),
        (_, Status::Pending | Status::Canceled) => successes == 0,
        (_, Status::Dispatched) => successes == 1 || successes == 0 && (known_late || proved),
        (_, Status::Delivered | Status::Undelivered) => proved,
        (_, Status::Failed) => successes == 0 && detail.message.failure.is_some(),
        _ => false,
    };
    (!agrees || !numbered)
        .then(|| format!("{} is {}: {attempts:?}", detail.message.id, detail.message.status))
}
