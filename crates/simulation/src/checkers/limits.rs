//! Rule 10: a sender and an address get exactly what burst and rate allow. A second, plain account of the charges judges it.

use std::{collections::BTreeMap, time::Duration};

use engine::LimitSettings;
use resilience::Quota;

use super::{Cell, Response};

pub(super) const RULE: &str = "10: within burst and rate, and a refusal advances no cell";

/// A cell lives as long as its node.
type Key = (u32, Cell);

pub(super) struct Limits {
    per_client: Quota,
    per_sender: Quota,
    charges: BTreeMap<Key, Vec<Charge>>,
}

struct Charge {
    request: usize,
    at: Duration,
    end: Option<End>,
}

/// When a charge was decided, and how.
#[derive(Clone, Copy)]
struct End {
    at: Duration,
    accepted: bool,
}

impl Limits {
    pub(super) fn new(settings: &LimitSettings) -> Self {
        Self {
            per_client: settings.per_ip.expect("the plan sets every limit"),
            per_sender: settings.per_sender.expect("the plan sets every limit"),
            charges: BTreeMap::new(),
        }
    }

    pub(super) fn client_checked(
        &mut self,
        key: Key,
        now: Duration,
        refused: bool,
        trusted: bool,
    ) -> Option<String> {
        let quota = self.per_client;
        let charges = self.charges.entry(key).or_default();
        if refused {
            return (trusted && has_room(charges, now, quota))
                .then(|| format!("{key:?} was refused without cause: {}", told(charges)));
        }
        let charge = Charge {
            request: usize::MAX,
            at: now,
            end: Some(End {
                at: now,
                accepted: true,
            }),
        };
        charges.push(charge);
        (trusted && exceeds(charges, quota))
            .then(|| format!("{key:?} got more than its share: {}", told(charges)))
    }

    /// A request begins, and is charged now.
    pub(super) fn asked(&mut self, key: Key, request: usize, now: Duration) {
        let charge = Charge {
            request,
            at: now,
            end: None,
        };
        self.charges.entry(key).or_default().push(charge);
    }

    /// A request ends. A refusal is judged by the charges made before the request began.
    pub(super) fn answered(
        &mut self,
        key: Key,
        request: usize,
        now: Duration,
        reply: &Response,
        trusted: bool,
    ) -> Option<String> {
        if key.1 == Cell::None {
            return None;
        }
        let quota = self.per_sender;
        let charges = self.charges.get_mut(&key)?;
        let place = charges.iter().rposition(|charge| charge.request == request)?;
        let at = charges[place].at;
        match reply {
            Response::New(_) => {
                charges[place].end = Some(End {
                    at: now,
                    accepted: true,
                });
                (trusted && exceeds(charges, quota))
                    .then(|| format!("{key:?} got more than its share: {}", told(charges)))
            }
            Response::Limited { .. } => {
                charges.remove(place);
                // Others that began at the same moment may have been charged first.
                let others = charges.iter().filter(|charge| charge.at <= at);
                let room = has_room_beside(others, at, quota);
                (trusted && room).then(|| format!("{key:?} was refused without cause: {}", told(charges)))
            }
            // It is unknown whether it was refunded.
            Response::Unknown | Response::Nothing => None,
            _ => {
                charges[place].end = Some(End {
                    at: now,
                    accepted: false,
                });
                None
            }
        }
    }
}

/// The charges in words: when each was made and decided.
fn told(charges: &[Charge]) -> String {
    let one = |charge: &Charge| match charge.end {
        Some(End { at, accepted: true }) => format!("{:?} kept at {at:?}", charge.at),
        Some(End { at, .. }) => format!("{:?} given back at {at:?}", charge.at),
        None => format!("{:?} open", charge.at),
    };
    charges.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn interval(quota: Quota) -> Duration {
    Duration::from_nanos(60_000_000_000_u64.div_ceil(u64::from(quota.count())))
}

fn has_room(charges: &[Charge], now: Duration, quota: Quota) -> bool {
    has_room_beside(charges.iter(), now, quota)
}

/// Whether one more fits, even if every charge not known to be refunded still counts.
fn has_room_beside<'a>(charges: impl Iterator<Item = &'a Charge>, now: Duration, quota: Quota) -> bool {
    let interval = interval(quota);
    let (mut full_at, mut open) = (Duration::ZERO, 0);
    let mut kept: Vec<Duration> = Vec::new();
    for charge in charges {
        match charge.end {
            Some(end) if end.at < now && end.accepted => kept.push(end.at),
            Some(end) if end.at < now => {}
            _ => open += 1,
        }
    }
    kept.sort_unstable();
    for at in kept {
        full_at = full_at.max(at) + interval;
    }
    full_at.max(now) + interval * (open + 1) <= now + interval * quota.count()
}

/// Whether more were accepted than burst and rate allow, in the order of their answers.
fn exceeds(charges: &[Charge], quota: Quota) -> bool {
    let interval = interval(quota);
    let mut accepted: Vec<Duration> = charges
        .iter()
        .filter_map(|charge| charge.end.filter(|end| end.accepted).map(|end| end.at))
        .collect();
    accepted.sort_unstable();
    let mut full_at = Duration::ZERO;
    accepted.into_iter().any(|at| {
        full_at = full_at.max(at) + interval;
        full_at > at + interval * quota.count()
    })
}
