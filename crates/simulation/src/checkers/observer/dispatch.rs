//! Observes the outbox and the providers.

use std::time::Duration;

use domain::{LeaseToken, MessageId, Timestamp};
use store::{Claimed, DeadLetter, Settled, Settlement};
use store_model::Memory;

use super::{
    super::{Before, Beginning, CallEnd, CallRecord, Taken, attempts, breaker, calls, fencing},
    Inner, Observer,
    lifecycle::RULE_CANCELED,
};

impl Observer {
    pub(crate) fn claimed(&self, life: u32, claimed: &[Claimed], memory: &Memory, now: Timestamp) {
        let (mut inner, at) = self.now();
        for one in claimed {
            inner.trace.note(
                at,
                "claim",
                &[
                    ("life", life.into()),
                    ("message", one.leased.id.into()),
                    ("token", one.leased.token.0.into()),
                    ("lease_expired", one.lease_expired.into()),
                ],
            );
            let tried = (one.leased.id, one.leased.progress.attempts);
            let invented = one.lease_expired && !inner.called.contains_key(&tried);
            if self.leases_are_kept && invented && inner.fencing.is_of_accept(one.leased.id) {
                let detail = format!(
                    "{} was leased while it was accepted, and no call was made",
                    tried.0
                );
                inner.find(at, fencing::RULE_LEFT, detail);
            }
            if let Some(detail) = inner.fencing.claimed(one, memory, now) {
                inner.find(at, fencing::RULE_CLAIM, detail);
            }
        }
    }

    /// A node receives the answer to its claim.
    pub(crate) fn got_claims(&self, life: u32, claimed: &[Claimed]) {
        let mut inner = self.inner();
        for one in claimed {
            inner.fencing.got(life, one.leased.id, one.leased.token);
        }
    }

    pub(crate) fn settling(&self, life: u32, batch: &[Settlement]) {
        let (mut inner, now) = self.now();
        if let Some(detail) = fencing::twice(batch) {
            inner.find(
                now,
                "an entry appears once in a batch",
                format!("life {life}: {detail}"),
            );
        }
    }

    pub(crate) fn settled(
        &self,
        life: u32,
        settlement: &Settlement,
        settled: Settled,
        before: &Before,
        memory: &Memory,
    ) {
        let (mut inner, now) = self.now();
        inner.trace.note(
            now,
            "settle",
            &[
                ("life", life.into()),
                ("message", settlement.id.into()),
                ("token", settlement.token.0.into()),
                ("as", fencing::word(&settlement.disposition).into()),
                ("applied", (settled == Settled::Applied).into()),
            ],
        );
        let attempts_max = self.settings.engine.dispatch.attempts_max;
        let problem = inner
            .fencing
            .settled(settlement, settled, before, memory, attempts_max);
        if let Some((rule, detail)) = problem {
            inner.find(now, rule, detail);
        }
    }

    pub(crate) fn released(
        &self,
        life: u32,
        (id, token): (MessageId, LeaseToken),
        before: &Before,
        memory: &Memory,
    ) {
        let (mut inner, now) = self.now();
        inner.trace.note(
            now,
            "release",
            &[
                ("life", life.into()),
                ("message", id.into()),
                ("token", token.0.into()),
            ],
        );
        if let Some(detail) = inner.fencing.released(id, token, before, memory) {
            inner.find(now, fencing::RULE_TOKEN, detail);
        }
    }

    pub(crate) fn dead_lettered(
        &self,
        life: u32,
        dead_lettered: &[DeadLetter],
        memory: &Memory,
        now: Timestamp,
    ) {
        let (mut inner, at) = self.now();
        for one in dead_lettered {
            let served = inner.served_lately(&one.provider, at);
            inner.trace.note(
                at,
                "dead_letter",
                &[
                    ("life", life.into()),
                    ("message", one.id.into()),
                    ("reason", one.reason.as_str().into()),
                ],
            );
            if let Some(detail) = inner.fencing.dead_lettered(one, served, memory, now) {
                inner.find(at, fencing::RULE_CLAIM, detail);
            }
        }
    }

    pub(crate) fn redriven(&self, memory: &Memory) {
        let (mut inner, now) = self.now();
        if let Some(detail) = inner.fencing.redriven(memory, now) {
            inner.find(now, attempts::RULE_NUMBERS, detail);
        }
    }

    pub(crate) fn call_began(&self, call: Beginning<'_>) -> usize {
        let (mut inner, now) = self.now();
        let Beginning {
            life,
            provider,
            message,
            attempt,
            row,
            now: database_now,
            breaker,
        } = call;
        let leased_until = row.and_then(|row| row.leased_until);
        let left = leased_until.map_or(Duration::ZERO, |until| until.saturating_since(database_now));
        inner.trace.note(
            now,
            "call",
            &[
                ("life", life.into()),
                ("provider", provider.into()),
                ("message", message.into()),
                ("attempt", attempt.into()),
                ("breaker", breaker.state.into()),
            ],
        );
        let number = inner.calls.len();
        if let Some((rule, detail)) = calls::may_begin(&call, &self.settings) {
            inner.find(now, rule, detail);
        }
        if let Some((rule, detail)) = inner.seen.may_call(message, database_now) {
            inner.find(now, rule, format!("{message}, attempt {attempt}: {detail}"));
        }
        if inner.called.insert((message, attempt), number).is_some() {
            let detail = format!("{message}: attempt {attempt} was made twice");
            inner.find(now, attempts::RULE_EXPLAINED, detail);
        }
        let model = inner.breakers.entry((life, provider)).or_default();
        let (breaker_epoch, problem) =
            model.call_begins(now, breaker, &self.settings.engine.dispatch.lane.breaker);
        if let Some(detail) = problem {
            inner.find(
                now,
                breaker::RULE,
                format!("life {life}, provider {provider}: {detail}"),
            );
        }
        *inner.calls_of.entry(message).or_default() += 1;
        inner.calls.push(CallRecord {
            life,
            provider,
            message,
            attempt,
            began: now,
            taken: false,
            ended: None,
            leased_until: now + left,
            breaker_epoch,
        });
        number
    }

    pub(crate) fn call_taken(&self, call: usize) {
        let (mut inner, now) = self.now();
        let record = &mut inner.calls[call];
        record.taken = true;
        let (message, taken) = (record.message, Taken::of(record));
        inner.seen.taken.push(taken);
        if inner.seen.canceled.contains(&message) {
            inner.find(now, RULE_CANCELED, format!("{message} was taken"));
        }
        inner.trace.note(now, "taken", &[("message", message.into())]);
    }

    pub(crate) fn call_ended(&self, call: usize, end: CallEnd) {
        let (mut inner, now) = self.now();
        let message = inner.calls[call].message;
        inner.trace.note(
            now,
            "call ends",
            &[("message", message.into()), ("as", end.word().into())],
        );
        let Inner { calls, breakers, .. } = &mut *inner;
        let record = &mut calls[call];
        record.ended = Some((now, end));
        if let Some(model) = breakers.get_mut(&(record.life, record.provider)) {
            model.call_ends(
                now,
                record.breaker_epoch,
                record,
                &self.settings.engine.dispatch.lane.breaker,
            );
        }
    }
}
