//! Sees everything that happens, and asks the rules at once where they could be broken.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{LeaseToken, MessageId, Timestamp};
use engine::Metrics;
use store::{Accept, Accepted, Claimed, DeadLetter, Memory, Settled, Settlement};

use super::{
    Before, Beginning, CallEnd, CallRecord, Cell, Reply, Request, Violation, acknowledged, attempts, breaker,
    calls, conversations, counters, fencing, limits, snapshot::Snapshot,
};
use crate::{
    draw::Draw,
    plan::{Plan, Settings},
    trace::{Fact, Trace},
    world::{Report, Time},
};

/// Findings after the first few are mostly its consequences.
const FINDINGS_MAX: usize = 8;

struct LifeRecord {
    frozen_ever: bool,
    metrics: Arc<Metrics>,
}

/// Sees everything, and takes no part in it.
pub(crate) struct Observer {
    time: Time,
    settings: Settings,
    inner: Mutex<Inner>,
}

struct Inner {
    trace: Trace,
    findings: Vec<Violation>,
    requests: Vec<Request>,
    calls: Vec<CallRecord>,
    lives: BTreeMap<u32, LifeRecord>,
    fencing: fencing::Fencing,
    breakers: BTreeMap<(u32, usize), breaker::Model>,
    limits: limits::Limits,
    called: BTreeMap<(MessageId, u32), usize>,
    acknowledged: Vec<MessageId>,
    /// A node was stopped before it had finished: what it knew is gone, as in a crash.
    cut_off: bool,
}

impl Observer {
    pub(crate) fn new(time: Time, plan: &Plan, readable: bool) -> Self {
        Self {
            time,
            settings: plan.settings.clone(),
            inner: Mutex::new(Inner {
                trace: Trace::new(readable),
                findings: Vec::new(),
                requests: Vec::new(),
                calls: Vec::new(),
                lives: BTreeMap::new(),
                fencing: fencing::Fencing::default(),
                breakers: BTreeMap::new(),
                limits: limits::Limits::new(&plan.settings.engine.limits),
                called: BTreeMap::new(),
                acknowledged: Vec::new(),
                cut_off: false,
            }),
        }
    }

    pub(crate) fn note(&self, event: &'static str, facts: &[(&'static str, Fact)]) {
        self.inner().trace.note(self.time.elapsed(), event, facts);
    }

    pub(crate) fn found(&self, rule: &'static str, detail: String) {
        let at = self.time.elapsed();
        self.inner().find(at, rule, detail);
    }

    pub(crate) fn has_findings(&self) -> bool {
        !self.inner().findings.is_empty()
    }

    pub(crate) fn life_began(&self, life: u32, node: usize, metrics: Arc<Metrics>) {
        self.note("started", &[("life", life.into()), ("node", node.into())]);
        self.inner().lives.insert(
            life,
            LifeRecord {
                frozen_ever: false,
                metrics,
            },
        );
    }

    pub(crate) fn life_froze(&self, life: u32) {
        if let Some(record) = self.inner().lives.get_mut(&life) {
            record.frozen_ever = true;
        }
    }

    /// A client's address was checked, before anything else.
    pub(crate) fn client_checked(&self, life: u32, cell: Cell, refused: bool) {
        let (mut inner, now) = self.now();
        let trusted = inner.keeps_time(life);
        let problem = inner.limits.client_checked((life, cell), now, refused, trusted);
        if let Some(detail) = problem {
            inner.find(now, limits::RULE, detail);
        }
    }

    /// A node takes a request up.
    pub(crate) fn asked(&self, life: u32, operation: usize, cell: Cell) -> usize {
        let (mut inner, now) = self.now();
        let request = inner.requests.len();
        inner.trace.note(
            now,
            "asked",
            &[("life", life.into()), ("operation", operation.into())],
        );
        inner.limits.asked((life, cell), request, now);
        inner.requests.push(Request {
            life,
            operation,
            cell,
            reply: Reply::Nothing,
        });
        request
    }

    /// A node answers a request. From this moment on it is bound by its word.
    pub(crate) fn answered(&self, request: usize, reply: &Reply, memory: &Memory) {
        let (mut inner, now) = self.now();
        let Request {
            life,
            operation,
            cell,
            ..
        } = inner.requests[request];
        let mut facts = vec![
            ("life", life.into()),
            ("operation", operation.into()),
            ("reply", reply.word().into()),
        ];
        if let Reply::New(ack) | Reply::Replayed(ack) = reply {
            facts.push(("message", ack.id.into()));
            inner.acknowledged.push(ack.id);
            if memory.status(ack.id).is_none() {
                let detail = format!("{} was acknowledged and is not stored", ack.id);
                inner.find(now, acknowledged::RULE_STORED, detail);
            }
        }
        inner.trace.note(now, "answered", &facts);
        let trusted = inner.keeps_time(life);
        if let Some(detail) = inner.limits.answered((life, cell), request, now, reply, trusted) {
            inner.find(now, limits::RULE, detail);
        }
        inner.requests[request].reply = reply.clone();
    }

    /// One of the messages acknowledged so far.
    pub(crate) fn some_acknowledged(&self, draw: &Draw) -> Option<MessageId> {
        let inner = self.inner();
        let count = inner.acknowledged.len() as u64;
        (count > 0).then(|| inner.acknowledged[draw.below(count) as usize])
    }

    pub(crate) fn accepted(&self, life: u32, batch: &[Accept], accepted: &[Accepted], memory: &Memory) {
        let (mut inner, now) = self.now();
        inner.trace.note(
            now,
            "accept",
            &[("life", life.into()), ("messages", batch.len().into())],
        );
        inner.fencing.accepted(batch, accepted, memory);
    }

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
                    ("vanished", one.vanished.into()),
                ],
            );
            if let Some(detail) = inner.fencing.claimed(one, memory, now) {
                inner.find(at, fencing::RULE_CLAIM, detail);
            }
        }
    }

    /// A node learns what it claimed.
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

    pub(crate) fn buried(&self, life: u32, buried: &[DeadLetter], memory: &Memory, now: Timestamp) {
        let (mut inner, at) = self.now();
        for one in buried {
            inner.trace.note(
                at,
                "bury",
                &[
                    ("life", life.into()),
                    ("message", one.id.into()),
                    ("reason", one.reason.as_str().into()),
                ],
            );
            if let Some(detail) = inner.fencing.buried(one, memory, now) {
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

    /// A life has come to its end as it should: nothing is left in its hands.
    pub(crate) fn drained(&self, life: u32, memory: &Memory) {
        let (mut inner, now) = self.now();
        if let Some(detail) = inner.fencing.drained(life, memory) {
            inner.find(now, "a drained node holds nothing", detail);
        }
    }

    /// A life has come to its end before it had finished.
    pub(crate) fn cut_off(&self) {
        self.inner().cut_off = true;
    }

    /// A call begins on a node.
    pub(crate) fn call_began(&self, call: Beginning<'_>) -> usize {
        let (mut inner, now) = self.now();
        let Beginning {
            life,
            provider,
            message,
            attempt,
            breaker,
            ..
        } = call;
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
        if inner.called.insert((message, attempt), number).is_some() {
            let detail = format!("{message}: attempt {attempt} was made twice");
            inner.find(now, attempts::RULE_EXPLAINED, detail);
        }
        let model = inner.breakers.entry((life, provider)).or_default();
        let (breaker_epoch, problem) =
            model.call_begins(now, breaker, &self.settings.engine.dispatch.breaker);
        if let Some(detail) = problem {
            inner.find(
                now,
                breaker::RULE,
                format!("life {life}, provider {provider}: {detail}"),
            );
        }
        inner.calls.push(CallRecord {
            life,
            provider,
            message,
            attempt,
            began: now,
            taken: false,
            ended: None,
            breaker_epoch,
        });
        number
    }

    /// The provider takes the message of a call.
    pub(crate) fn call_taken(&self, call: usize) {
        let (mut inner, now) = self.now();
        let record = &mut inner.calls[call];
        record.taken = true;
        let message = record.message;
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
                &self.settings.engine.dispatch.breaker,
            );
        }
    }

    /// Everything is final and everybody has stopped: now all of it must add up.
    pub(crate) fn at_the_end(&self, plan: &Plan, memory: &Memory, now: Timestamp) {
        let (mut inner, at) = self.now();
        let snapshot = Snapshot::take(memory, now);
        let inner = &mut *inner;
        let mut problems = Vec::new();
        acknowledged::check(plan, &snapshot, &inner.requests, &mut problems);
        attempts::check(plan, &snapshot, &inner.calls, &inner.fencing, &mut problems);
        calls::check_retry_after(&snapshot, &inner.calls, &inner.fencing, &mut problems);
        conversations::check(plan, &snapshot, &mut problems);
        breaker::check_edges(
            inner.lives.values().map(|life| life.metrics.as_ref()),
            &mut problems,
        );
        if !plan.loses_knowledge() && !inner.cut_off {
            let metrics = inner.lives.values().map(|life| life.metrics.as_ref());
            counters::check(metrics, &snapshot, &inner.fencing, &mut problems);
        }
        for (rule, detail) in problems {
            inner.find(at, rule, detail);
        }
    }

    pub(crate) fn report(&self) -> Report {
        let mut inner = self.inner();
        let trace = std::mem::replace(&mut inner.trace, Trace::new(false));
        Report {
            violations: std::mem::take(&mut inner.findings),
            trace_hash: trace.hash(),
            trace: trace.into_lines(),
            simulated: self.time.elapsed(),
            requests: inner.requests.len(),
            calls: inner.calls.len(),
        }
    }

    fn now(&self) -> (MutexGuard<'_, Inner>, Duration) {
        (self.inner(), self.time.elapsed())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn find(&mut self, at: Duration, rule: &'static str, detail: String) {
        self.trace.note(at, "VIOLATION", &[("rule", rule.into())]);
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Violation { rule, at, detail });
        }
    }

    /// Whether we know at which moment a node did what: not when it stood still in between.
    fn keeps_time(&self, life: u32) -> bool {
        self.lives.get(&life).is_some_and(|record| !record.frozen_ever)
    }
}
