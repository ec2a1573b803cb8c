//! Rule 6, judged by a second account of keys: until it expires a key stands for one message, then for another.

use std::{collections::BTreeMap, time::Duration};

use domain::{Fingerprint, IdempotencyKey, MessageId};
use store::{Accept, Accepted, IdempotentRequest, Kind};

use super::{Request, Response};

pub(super) const RULE: &str = "6: one key = one id; another body is a conflict";

/// How long a key may outlive its expiry while a node runs and reaches the store: from one purge to the next, and a node's stop
/// in between.
const PURGED_WITHIN: Duration = Duration::from_secs(80);

/// How long after a request an unconfirmed commit may still happen: a slow start, and a late end.
const LATE_WITHIN: Duration = Duration::from_secs(20);

pub(super) struct Keys {
    ttl: Duration,
    uses: BTreeMap<IdempotencyKey, Vec<Use>>,
}

/// A message that was stored under a key.
struct Use {
    id: MessageId,
    fingerprint: Fingerprint,
    at: Duration,
}

impl Keys {
    pub(super) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            uses: BTreeMap::new(),
        }
    }

    /// Judges a transaction that stores a key with its message.
    pub(super) fn accepted(
        &mut self,
        batch: &[Accept],
        accepted: &[Accepted],
        now: Duration,
    ) -> Option<String> {
        let mut problem = None;
        for (accept, accepted) in batch.iter().zip(accepted) {
            let Kind::Send {
                request: Some(IdempotentRequest { key, fingerprint }),
                ..
            } = &accept.kind
            else {
                continue;
            };
            let uses = self.uses.entry(key.clone()).or_default();
            let last = uses.last();
            let right = match accepted {
                Accepted::New { .. } => last.is_none_or(|last| last.at + self.ttl <= now),
                Accepted::Repeated { id, .. } => {
                    last.is_some_and(|last| last.id == *id && last.fingerprint == *fingerprint)
                }
                Accepted::KeyConflict => last.is_some_and(|last| last.fingerprint != *fingerprint),
            };
            if !right {
                let since = last.map(|last| now.saturating_sub(last.at));
                problem = Some(format!(
                    "{}: {accepted:?}, {since:?} after its key was stored",
                    accept.id
                ));
            }
            if matches!(accepted, Accepted::New { .. }) {
                uses.push(Use {
                    id: accept.id,
                    fingerprint: *fingerprint,
                    at: now,
                });
            }
        }
        problem
    }

    /// Judges the answer to a request with a key.
    pub(super) fn answered(
        &self,
        request: &Request,
        now: Duration,
        reply: &Response,
        house_is_kept: bool,
    ) -> Option<String> {
        let IdempotentRequest { key, fingerprint } = request.key.as_ref()?;
        let uses = self.uses.get(key).map_or(&[][..], Vec::as_slice);
        // The keys in force at some moment between request and answer, the latest first.
        let mut candidates = uses.iter().enumerate().rev().filter(|(place, known)| {
            let next = uses.get(place + 1);
            known.at <= now && next.is_none_or(|next| next.at >= request.began)
        });
        let meant = match reply {
            Response::Replayed(ack) => candidates.find(|(_, known)| known.id == ack.id),
            Response::Conflict => candidates.find(|(_, known)| known.fingerprint != *fingerprint),
            Response::NoProvider | Response::Limited { .. } => {
                let in_force = uses
                    .last()
                    .is_some_and(|last| last.at < request.began && now < last.at + self.ttl);
                return in_force.then(|| "a repeat was turned away".to_owned());
            }
            _ => return None,
        };
        let Some((_, known)) = meant else {
            return Some("it was answered as if its key stood for another message".to_owned());
        };
        let expired_for = request.began.checked_sub(known.at + self.ttl)?;
        (house_is_kept && expired_for > PURGED_WITHIN)
            .then(|| format!("its key should be gone for {expired_for:?}"))
    }

    /// Whether a request that was answered with an earlier message may be stored itself: its commit was unconfirmed, its key was
    /// looked up instead, and was purged before the commit happened.
    pub(super) fn may_be_late(&self, request: &Request) -> bool {
        let Some(IdempotentRequest { key, .. }) = &request.key else {
            return false;
        };
        let uses = self.uses.get(key).map_or(&[][..], Vec::as_slice);
        uses.iter()
            .any(|known| known.at + self.ttl <= request.began + LATE_WITHIN)
    }

    /// How many messages were stored under a key.
    pub(super) fn stored(&self, key: &IdempotencyKey) -> usize {
        self.uses.get(key).map_or(0, Vec::len)
    }
}
