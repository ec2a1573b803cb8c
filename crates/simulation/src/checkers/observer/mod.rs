//! Records everything that happens, and checks rules at the moment they could be broken.

mod dispatch;
mod lifecycle;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::{MessageId, ProviderName, Timestamp};
use engine::{Metrics, UNSERVED_AFTER};
use parking_lot::{Mutex, MutexGuard};
use store::{Accept, Accepted, IdempotentRequest, Kind, MessageDetail};
use store_model::Memory;

use self::lifecycle::Seen;
use super::{
    CallRecord, Cell, Due, Request, Response, Violation, acknowledged, attempts, breaker, calls,
    conversations, counters, deliveries, events, fencing, keys, limits, progress, reads, references,
    snapshot::Snapshot,
};
use crate::{
    draw::Draw,
    plan::{Knowledge, Plan, Settings},
    trace::{Fact, Trace},
    world::{Report, Time},
};

const RULE_SERVED: &str = "no provider: nothing is stored";

/// A running node has announced its providers within this time: no trouble of the store lasts longer.
const ANNOUNCED_WITHIN: Duration = Duration::from_secs(90);

/// Later findings are mostly consequences of the first few.
const FINDINGS_MAX: usize = 8;

struct LifeRecord {
    serving: Vec<ProviderName>,
    began: Duration,
    ended: Option<Duration>,
    frozen_ever: bool,
    metrics: Arc<Metrics>,
}

/// Records everything; changes nothing.
pub(crate) struct Observer {
    time: Time,
    settings: Settings,
    house_is_kept: bool,
    leases_are_kept: bool,
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
    keys: keys::Keys,
    called: BTreeMap<(MessageId, u32), usize>,
    /// The number of calls for each message.
    calls_of: BTreeMap<MessageId, usize>,
    progress: progress::Progress,
    acknowledged: Vec<MessageId>,
    seen: Seen,
    /// Whether a node was stopped before it had finished. It then loses its results, as in a crash.
    cut_off: bool,
}

impl Observer {
    pub(crate) fn new(time: Time, plan: &Plan, readable: bool) -> Self {
        Self {
            time,
            settings: plan.settings.clone(),
            house_is_kept: plan.house_is_kept(),
            leases_are_kept: plan.leases_are_kept(),
            inner: Mutex::new(Inner {
                trace: Trace::new(readable),
                findings: Vec::new(),
                requests: Vec::new(),
                calls: Vec::new(),
                lives: BTreeMap::new(),
                fencing: fencing::Fencing::default(),
                breakers: BTreeMap::new(),
                limits: limits::Limits::new(&plan.settings.engine.limits),
                keys: keys::Keys::new(plan.settings.engine.idempotency_ttl),
                called: BTreeMap::new(),
                calls_of: BTreeMap::new(),
                progress: progress::Progress::default(),
                acknowledged: Vec::new(),
                seen: Seen::default(),
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

    pub(crate) fn life_began(
        &self,
        life: u32,
        node: usize,
        serving: Vec<ProviderName>,
        metrics: Arc<Metrics>,
    ) {
        self.note("started", &[("life", life.into()), ("node", node.into())]);
        self.inner().lives.insert(
            life,
            LifeRecord {
                serving,
                began: self.time.elapsed(),
                ended: None,
                frozen_ever: false,
                metrics,
            },
        );
    }

    pub(crate) fn life_ended(&self, life: u32, node: usize) {
        self.note("died", &[("life", life.into()), ("node", node.into())]);
        if let Some(record) = self.inner().lives.get_mut(&life) {
            record.ended = Some(self.time.elapsed());
        }
    }

    pub(crate) fn life_froze(&self, life: u32) {
        if let Some(record) = self.inner().lives.get_mut(&life) {
            record.frozen_ever = true;
        }
    }

    /// A client's address was checked, before all else.
    pub(crate) fn client_checked(&self, life: u32, cell: Cell, refused: bool) {
        let (mut inner, now) = self.now();
        let trusted = inner.keeps_time(life);
        let problem = inner.limits.client_checked((life, cell), now, refused, trusted);
        if let Some(detail) = problem {
            inner.find(now, limits::RULE, detail);
        }
    }

    /// A node begins a request.
    pub(crate) fn asked(
        &self,
        life: u32,
        operation: usize,
        cell: Cell,
        key: Option<IdempotentRequest>,
    ) -> usize {
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
            began: now,
            cell,
            key,
            reply: Response::Nothing,
        });
        request
    }

    /// A node answers a request. From now on the answer binds it.
    pub(crate) fn answered(&self, request: usize, reply: &Response, memory: &Memory) {
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
        if let Response::New(ack) | Response::Replayed(ack) = reply {
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
        let asked = &inner.requests[request];
        if let Some(detail) = inner.keys.answered(asked, now, reply, self.house_is_kept) {
            inner.find(now, keys::RULE, format!("operation {operation}: {detail}"));
        }
        inner.requests[request].reply = reply.clone();
    }

    /// One of the messages acknowledged so far.
    pub(crate) fn some_acknowledged(&self, draw: &Draw) -> Option<MessageId> {
        let inner = self.inner();
        let count = inner.acknowledged.len() as u64;
        (count > 0).then(|| inner.acknowledged[draw.below(count) as usize])
    }

    /// One of the last acknowledged messages, which are the most likely to be in flight.
    pub(crate) fn one_of_the_latest(&self, draw: &Draw) -> Option<MessageId> {
        const LATEST: usize = 8;
        let inner = self.inner();
        let latest = &inner.acknowledged[inner.acknowledged.len().saturating_sub(LATEST)..];
        (!latest.is_empty()).then(|| latest[draw.below(latest.len() as u64) as usize])
    }

    /// A reader got this for an acknowledged message.
    pub(crate) fn read(&self, id: MessageId, detail: Option<&MessageDetail>) {
        let (mut inner, now) = self.now();
        let problem = match detail {
            Some(detail) => reads::contradiction(detail),
            None => Some(format!("{id} was acknowledged and cannot be read")),
        };
        if let Some(detail) = problem {
            inner.find(now, reads::RULE, detail);
        }
    }

    /// Looks at all due messages, some time after the last look.
    pub(crate) fn due(&self, since_last: Duration, due: &[Due]) {
        let (mut inner, now) = self.now();
        let Inner {
            progress, calls_of, ..
        } = &mut *inner;
        let calls = |id| calls_of.get(&id).copied().unwrap_or(0);
        if let Some(detail) = progress.look(since_last, due, calls, &self.settings) {
            inner.find(now, progress::RULE, detail);
        }
    }

    pub(crate) fn accepted(&self, life: u32, batch: &[Accept], accepted: &[Accepted], memory: &Memory) {
        let (mut inner, now) = self.now();
        inner.trace.note(
            now,
            "accept",
            &[("life", life.into()), ("messages", batch.len().into())],
        );
        inner.fencing.accepted(batch, accepted, memory);
        inner.seen.accepted(batch, accepted);
        if let Some(detail) = inner.keys.accepted(batch, accepted, now) {
            inner.find(now, keys::RULE, detail);
        }
        let serving = inner.serving(life);
        let unserved = batch.iter().zip(accepted).find(|(accept, accepted)| {
            matches!(
                (&accept.kind, accepted),
                (Kind::Send { .. }, Accepted::New { .. })
            ) && !serving.contains(&accept.provider)
        });
        if let Some((accept, _)) = unserved {
            let detail = format!("life {life} stored {} for {}", accept.id, accept.provider);
            inner.find(now, RULE_SERVED, detail);
        }
    }

    /// A life was drained: it must hold no lease.
    pub(crate) fn drained(&self, life: u32, memory: &Memory) {
        let (mut inner, now) = self.now();
        if let Some(detail) = inner.fencing.drained(life, memory) {
            inner.find(now, "a drained node holds nothing", detail);
        }
    }

    /// A life ended before it had finished.
    pub(crate) fn cut_off(&self) {
        self.inner().cut_off = true;
    }

    /// All messages are final and all nodes have stopped: now everything must agree.
    pub(crate) fn at_the_end(&self, plan: &Plan, memory: &Memory, now: Timestamp) {
        let (mut inner, at) = self.now();
        let snapshot = Snapshot::take(memory, now);
        let inner = &mut *inner;
        let mut problems = Vec::new();
        acknowledged::check(plan, &snapshot, &inner.requests, &inner.keys, &mut problems);
        attempts::check(
            plan,
            plan.nodes_run_on() && !inner.cut_off,
            &snapshot,
            &inner.calls,
            &inner.fencing,
            &mut problems,
        );
        calls::check_retry_after(&snapshot, &inner.calls, &inner.fencing, &mut problems);
        conversations::check(plan, &snapshot, &mut problems);
        references::check(memory, &mut problems);
        let log = events::read_all(memory);
        events::check(
            memory,
            &snapshot,
            &log,
            &inner.seen.walks,
            &inner.seen.receipts,
            &mut problems,
        );
        if let Some(lifecycle) = &plan.settings.lifecycle {
            deliveries::check(
                lifecycle.receivers.len(),
                &log,
                inner.seen.delivered_up_to,
                &inner.seen.arrivals,
                &mut problems,
            );
        }
        breaker::check_edges(
            inner.lives.values().map(|life| life.metrics.as_ref()),
            &mut problems,
        );
        let knowledge = if inner.cut_off {
            Knowledge::Lost
        } else {
            plan.knowledge()
        };
        let books = counters::Books {
            knowledge,
            snapshot: &snapshot,
            fencing: &inner.fencing,
            requests: &inner.requests,
        };
        let metrics = inner.lives.values().map(|life| life.metrics.as_ref());
        counters::check(metrics, &books, &mut problems);
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
        self.inner.lock()
    }
}

impl Inner {
    fn find(&mut self, at: Duration, rule: &'static str, detail: String) {
        self.trace.note(at, "VIOLATION", &[("rule", rule.into())]);
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Violation { rule, at, detail });
        }
    }

    /// The providers of a life.
    fn serving(&self, life: u32) -> Vec<ProviderName> {
        self.lives
            .get(&life)
            .map_or_else(Vec::new, |record| record.serving.clone())
    }

    /// Whether nodes that were up recently had this provider long enough to announce it, even if everything else failed. No time
    /// without a provider is longer than the world is old.
    fn served_lately(&self, provider: &ProviderName, now: Duration) -> bool {
        let since = now.saturating_sub(UNSERVED_AFTER);
        let mut lives = self.lives.values();
        now < UNSERVED_AFTER
            || lives.any(|life| {
                let up = life.ended.unwrap_or(now).saturating_sub(life.began.max(since));
                life.serving.contains(provider) && !life.frozen_ever && up >= ANNOUNCED_WITHIN
            })
    }

    /// Whether the times of a node's actions are known. They are not if it stood still in between.
    fn keeps_time(&self, life: u32) -> bool {
        self.lives.get(&life).is_some_and(|record| !record.frozen_ever)
    }
}
