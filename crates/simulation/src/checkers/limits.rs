//! Invariant 10: nobody gets more than burst and rate allow, and nobody less. Judged by a second, plain account of what
//! each cell was charged.

use std::{collections::BTreeMap, time::Duration};

use engine::LimitSettings;
use resilience::Quota;

use super::{Cell, Reply};

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
    /// When it was given back, if it was.
    back: Option<Duration>,
    accepted: bool,
}

impl Limits {
    pub(super) fn new(settings: &LimitSettings) -> Self {
        Self {
            per_client: settings.per_ip,
            per_sender: settings.per_sender,
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
            back: None,
            accepted: true,
        };
        charges.push(charge);
        (trusted && exceeds(charges, quota))
            .then(|| format!("{key:?} got more than its share: {}", told(charges)))
    }

    /// A request begins, and is charged at this very moment.
    pub(super) fn asked(&mut self, key: Key, request: usize, now: Duration) {
        let charge = Charge {
            request,
            at: now,
            back: None,
            accepted: false,
        };
        self.charges.entry(key).or_default().push(charge);
    }

    /// A request ends. Whether a refusal was right is judged by what was charged before the request began.
    pub(super) fn answered(
        &mut self,
        key: Key,
        request: usize,
        now: Duration,
        reply: &Reply,
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
            Reply::New(_) => {
                charges[place].accepted = true;
                (trusted && exceeds(charges, quota))
                    .then(|| format!("{key:?} got more than its share: {}", told(charges)))
            }
            Reply::Limited { .. } => {
                charges.remove(place);
                // Others that began at the same moment may have been charged first.
                let others = charges.iter().filter(|charge| charge.at <= at);
                let room = has_room_beside(others, at, quota);
                (trusted && room).then(|| format!("{key:?} was refused without cause: {}", told(charges)))
            }
            // Nobody knows whether it was given back.
            Reply::Unknown | Reply::Nothing => None,
            _ => {
                charges[place].back = Some(now);
                None
            }
        }
    }
}

/// An account to read: when each charge was made, what became of it, and when it was given back.
fn told(charges: &[Charge]) -> String {
    let one = |charge: &Charge| {
        let fate = if charge.accepted { "accepted" } else { "charged" };
        let back = charge
            .back
            .map_or(String::new(), |back| format!(", back at {back:?}"));
        format!("{:?} {fate}{back}", charge.at)
    };
    charges.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn interval(quota: Quota) -> Duration {
    Duration::from_nanos(60_000_000_000_u64.div_ceil(u64::from(quota.count())))
}

fn has_room(charges: &[Charge], now: Duration, quota: Quota) -> bool {
    has_room_beside(charges.iter(), now, quota)
}

/// Whether one more fits, even if everything that is not known to have been given back is still charged.
fn has_room_beside<'a>(charges: impl Iterator<Item = &'a Charge>, now: Duration, quota: Quota) -> bool {
    let interval = interval(quota);
    let mut steps: Vec<(Duration, Option<Duration>)> = Vec::new();
    for charge in charges {
        steps.push((charge.at, None));
        if let Some(back) = charge.back.filter(|back| *back < now) {
            steps.push((back, Some(charge.at)));
        }
    }
    steps.sort_unstable_by_key(|(at, _)| *at);
    let mut full_at = Duration::ZERO;
    let mut charged_to: BTreeMap<Duration, Vec<Duration>> = BTreeMap::new();
    for (at, gives_back) in steps {
        match gives_back {
            None => {
                full_at = full_at.max(at) + interval;
                charged_to.entry(at).or_default().push(full_at);
            }
            Some(charged_at) => {
                // Of charges of the same moment we do not know which is which: the one that gives back least.
                let to = charged_to
                    .get_mut(&charged_at)
                    .and_then(Vec::pop)
                    .unwrap_or_default();
                full_at = full_at.saturating_sub(to.saturating_sub(at).min(interval));
            }
        }
    }
    full_at.max(now) + interval <= now + interval * quota.count()
}

/// Whether those that were accepted are more than burst and rate allow.
fn exceeds(charges: &[Charge], quota: Quota) -> bool {
    let interval = interval(quota);
    let mut full_at = Duration::ZERO;
    charges.iter().filter(|charge| charge.accepted).any(|charge| {
        full_at = full_at.max(charge.at) + interval;
        full_at > charge.at + interval * quota.count()
    })
}
