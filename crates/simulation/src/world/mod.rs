//! The world of one run: a database, providers, nodes, clients, and the faults between them.

mod connection;
mod database;
mod gate;
mod inject;
mod node;
mod receivers;
mod service;
mod time;

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use domain::{DeliveryStatus, EventId, MessageId, PageRequest, ProviderName, Start};
use futures_util::FutureExt;
use store::{Endpoint, EndpointChange, Events, Reads, Webhooks};
use tokio::task::JoinHandle;

use crate::{
    checkers::{Due, Observer, Violation},
    draw::Draw,
    plan::{Plan, Settings},
    workload,
};

pub(crate) use database::Database;
pub(crate) use node::{Life, Node};
pub(crate) use receivers::{Arrival, Caller, Receivers};
pub(crate) use service::Service;
pub(crate) use time::Time;

/// How often the run checks whether it is over.
const STEP: Duration = Duration::from_millis(500);

/// How often it looks at due messages: less often, since it reads the whole outbox.
const STEPS_PER_LOOK: u32 = 10;

/// What all parts of the world share.
pub(crate) struct Common {
    pub(crate) settings: Settings,
    pub(crate) time: Time,
    pub(crate) draw: Draw,
    pub(crate) observer: Arc<Observer>,
    pub(crate) database: Arc<Database>,
    pub(crate) services: Vec<Arc<Service>>,
    pub(crate) receivers: Receivers,
    pub(crate) lives: AtomicU32,
}

/// The last look at due messages.
#[derive(Default)]
struct Looks {
    steps: u32,
    last: Duration,
    /// For each provider, the lives that could call it.
    serving: Vec<BTreeSet<u32>>,
}

pub(crate) struct World {
    pub(crate) plan: Arc<Plan>,
    pub(crate) common: Arc<Common>,
    pub(crate) nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
pub struct Report {
    pub violations: Vec<Violation>,
    /// A hash of everything that happened, in order.
    pub trace_hash: u64,
    /// The trace, if it was asked for.
    pub trace: Option<String>,
    /// Simulated time.
    pub simulated: Duration,
    pub requests: usize,
    pub calls: usize,
}

/// Runs a schedule. The same plan always gives the same report.
#[must_use]
pub fn run(plan: &Plan, readable: bool) -> Report {
    block_on(async {
        let world = World::new(plan, readable);
        world.live().await;
        world.report()
    })
}

/// Runs a future on a clock that moves only while all tasks wait.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads and sockets can be made");
    runtime.block_on(work)
}

impl World {
    pub(crate) fn new(plan: &Plan, readable: bool) -> Arc<Self> {
        let settings = &plan.settings;
        let draw = Draw::of_seed(plan.seed).child("world");
        let time = Time::start();
        let observer = Arc::new(Observer::new(time, plan, readable));
        let database = Arc::new(Database::new(
            time,
            Arc::clone(&observer),
            draw.child("database"),
            settings.store_trip_max,
            settings.link,
        ));
        let service = |index| {
            let (trip_max, timeout) = (
                settings.provider_trip_max,
                settings.engine.dispatch.lane.call_timeout,
            );
            let trip_max = trip_max.min(timeout / 3);
            let draw = draw.child(&format!("provider/{index}"));
            Arc::new(Service::new(index, time, draw, trip_max, timeout))
        };
        let common = Arc::new(Common {
            settings: settings.clone(),
            time,
            observer,
            database,
            services: (0..2).map(service).collect(),
            receivers: Receivers::new(
                settings
                    .lifecycle
                    .as_ref()
                    .map_or(&[], |lifecycle| &lifecycle.receivers),
                &draw.child("receivers"),
            ),
            lives: AtomicU32::new(0),
            draw,
        });
        let nodes = (0..settings.nodes)
            .map(|index| Node::new(index, Arc::clone(&common)))
            .collect();
        Arc::new(Self {
            plan: Arc::new(plan.clone()),
            common,
            nodes,
        })
    }

    pub(crate) fn start(&self) {
        self.nodes.iter().for_each(Node::start);
    }

    /// Kills all nodes.
    pub(crate) fn end(&self) {
        self.nodes.iter().for_each(Node::kill);
    }

    /// First with faults: no promise may be broken. Then without: every promise must be kept.
    async fn live(self: &Arc<Self>) {
        self.common.receivers.register(&self.common).await;
        self.start();
        let strikes: Vec<JoinHandle<()>> = (0..self.plan.faults.len())
            .map(|fault| tokio::spawn(Arc::clone(self).inject(fault)))
            .collect();
        let clients: Vec<JoinHandle<()>> = (0..self.plan.operations.len())
            .map(|operation| tokio::spawn(workload::perform(Arc::clone(self), operation)))
            .collect();
        let readers = self.plan.settings.readers;
        let reader = readers.then(|| tokio::spawn(workload::read_on(Arc::clone(self))));
        let watchers = self.watchers();
        let mut looks = Looks::default();
        while self.common.time.elapsed() < self.plan.settings.chaos
            || strikes.iter().any(|inject| !inject.is_finished())
        {
            if self.common.observer.has_findings() {
                return;
            }
            self.step(&mut looks).await;
        }
        self.heal();
        let healed = self.common.time.elapsed();
        let patience = self.patience();
        loop {
            if self.common.observer.has_findings() {
                return;
            }
            let served = clients.iter().all(JoinHandle::is_finished);
            if served && self.all_final() && self.all_delivered() {
                self.common.observer.all_delivered(self.end_of_log());
                break;
            }
            if self.common.time.elapsed() > healed + patience {
                let detail = if served {
                    self.pending()
                } else {
                    "a client is still not served".to_owned()
                };
                self.common
                    .observer
                    .found("2: after faults stop everything becomes final", detail);
                return;
            }
            self.step(&mut looks).await;
        }
        reader.inspect(JoinHandle::abort);
        watchers.iter().for_each(JoinHandle::abort);
        self.stop_all().await;
        self.common.observer.at_the_end(
            &self.plan,
            &self.common.database.memory,
            self.common.database.now(),
        );
    }

    /// The providers that send receipts, and the readers of the event log.
    fn watchers(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let Some(lifecycle) = &self.plan.settings.lifecycle else {
            return Vec::new();
        };
        let reporter = tokio::spawn(workload::report_on(Arc::clone(self), lifecycle.clone()));
        let follower = |number| tokio::spawn(workload::follow(Arc::clone(self), number));
        (0..lifecycle.followers).map(follower).chain([reporter]).collect()
    }

    /// Lets time pass, and looks at due messages now and then.
    async fn step(&self, looks: &mut Looks) {
        tokio::time::sleep(STEP).await;
        looks.steps += 1;
        if looks.steps.is_multiple_of(STEPS_PER_LOOK) {
            self.look(looks);
        }
    }

    /// A message is in good times if the store and its provider were well since the last look, and a node was there that could
    /// call.
    fn look(&self, looks: &mut Looks) {
        let Common {
            time,
            database,
            services,
            observer,
            ..
        } = &*self.common;
        let lives_serving = |service: &Arc<Service>| -> BTreeSet<u32> {
            let lives = self.nodes.iter().filter_map(Node::life);
            let serving = lives.filter(|life| life.is_serving(service.name()));
            serving.map(|life| life.number).collect()
        };
        let serving: Vec<BTreeSet<u32>> = services.iter().map(lives_serving).collect();
        let store_well = database.well_since(looks.last);
        let well = |provider: &ProviderName| {
            let mut places = services.iter().zip(&serving).zip(&looks.serving);
            places.any(|((service, now), before)| {
                service.name() == provider && service.well_since(looks.last) && !now.is_disjoint(before)
            })
        };
        let now = database.now();
        let rows = database.memory.outbox();
        let rows = rows
            .iter()
            .filter(|(_, row)| row.dead_at.is_none() && row.due_at <= now);
        let due: Vec<Due> = rows
            .map(|(id, row)| Due {
                message: *id,
                well: store_well && well(&row.provider),
                body_bytes: self.body_bytes(*id),
            })
            .collect();
        observer.due(time.elapsed() - looks.last, &due);
        (looks.last, looks.serving) = (time.elapsed(), serving);
    }

    /// Not needed if the link is fast enough for any number.
    fn body_bytes(&self, id: MessageId) -> usize {
        if self.plan.settings.link.is_none() {
            return 0;
        }
        let detail = self.common.database.memory.message(id).now_or_never();
        let detail = detail.and_then(Result::ok).flatten();
        detail.map_or(0, |detail| detail.message.content.body.as_str().len())
    }

    fn heal(&self) {
        self.common.observer.note("healed", &[]);
        self.common.database.heal();
        self.common.receivers.heal();
        self.enable_endpoints();
        for service in &self.common.services {
            service.get_into(crate::plan::Health::Well, Duration::ZERO);
        }
        for node in &self.nodes {
            if node.life().is_none() {
                node.start();
            }
            if let Some(life) = node.life() {
                life.calm_simulators();
            }
        }
    }

    /// How long it may take until all messages are final once the faults are over: the longest wait of a message and of a
    /// client, and a margin.
    fn patience(&self) -> Duration {
        let engine = &self.plan.settings.engine;
        let deadline = engine.deadlines.sms.max(engine.deadlines.email);
        deadline.min(Duration::from_secs(600))
            + engine.dispatch.lease * 2
            + engine.dispatch.lane.breaker.max_open * 4
            + Duration::from_secs(900)
    }

    fn all_final(&self) -> bool {
        let outbox = self.common.database.memory.outbox();
        outbox.iter().all(|(_, row)| row.dead_at.is_some())
    }

    /// Those that answered 410 were disabled. Enabling also makes waiting deliveries due at once.
    fn enable_endpoints(&self) {
        let memory = &self.common.database.memory;
        for endpoint in self.endpoints() {
            let enable = EndpointChange {
                enabled: Some(true),
                ..EndpointChange::default()
            };
            let change = memory.change_endpoint(endpoint.id, &enable).now_or_never();
            assert!(matches!(change, Some(Ok(Some(_)))), "the model answers at once");
        }
    }

    /// Whether every endpoint has every event.
    fn all_delivered(&self) -> bool {
        let memory = &self.common.database.memory;
        let end = self.end_of_log();
        let pending = |endpoint: &Endpoint| {
            let first = PageRequest::new(1, Start::First);
            let pending = memory.deliveries(endpoint.id, Some(DeliveryStatus::Pending), &first);
            pending.now_or_never().and_then(Result::ok).flatten()
        };
        self.endpoints().iter().all(|endpoint| {
            endpoint.cursor >= end && pending(endpoint).is_some_and(|page| page.items.is_empty())
        })
    }

    fn end_of_log(&self) -> EventId {
        let log = self.common.database.memory.event_log();
        log.now_or_never().and_then(Result::ok).unwrap_or_default().end
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let endpoints = self.common.database.memory.endpoints();
        endpoints.now_or_never().and_then(Result::ok).unwrap_or_default()
    }

    fn pending(&self) -> String {
        let outbox = self.common.database.memory.outbox();
        let pending: Vec<String> = outbox
            .iter()
            .filter(|(_, row)| row.dead_at.is_none())
            .take(3)
            .map(|(id, row)| format!("{id} {row:?}"))
            .collect();
        let endpoints: Vec<String> = self
            .endpoints()
            .iter()
            .map(|endpoint| format!("{} at {}", endpoint.id, endpoint.cursor))
            .collect();
        format!(
            "still pending: {}; endpoints: {}",
            pending.join("; "),
            endpoints.join(", ")
        )
    }

    /// In a world without trouble every node shuts down in time.
    async fn stop_all(&self) {
        let within = self.plan.settings.engine.dispatch.lane.call_timeout + Duration::from_secs(30);
        for node in &self.nodes {
            let Some(life) = node.life() else { continue };
            if !life.stop(within).await {
                let detail = format!("life {} was not drained within {within:?}", life.number);
                self.common
                    .observer
                    .found("a node that is told to stop does", detail);
            }
            node.kill();
        }
    }

    fn report(&self) -> Report {
        self.end();
        self.common.observer.report()
    }
}
