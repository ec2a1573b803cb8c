//! The world of one run: a database, providers, nodes, clients, and what goes wrong between them.

mod connection;
mod database;
mod gate;
mod node;
mod service;
mod strike;
mod time;

use std::{
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use tokio::task::JoinHandle;

use crate::{
    checkers::{Observer, Violation},
    draw::Draw,
    plan::{Plan, Settings},
    workload,
};

pub(crate) use database::Database;
pub(crate) use node::{Life, Node};
pub(crate) use service::Service;
pub(crate) use time::Time;

/// How often the run looks whether it is over.
const STEP: Duration = Duration::from_millis(500);

/// What all parts of the world share.
pub(crate) struct Common {
    pub(crate) settings: Settings,
    pub(crate) time: Time,
    pub(crate) draw: Draw,
    pub(crate) observer: Arc<Observer>,
    pub(crate) database: Arc<Database>,
    pub(crate) services: Vec<Arc<Service>>,
    pub(crate) lives: AtomicU32,
}

pub(crate) struct World {
    pub(crate) plan: Arc<Plan>,
    pub(crate) common: Arc<Common>,
    pub(crate) nodes: Vec<Node>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Report {
    /// What must hold and did not.
    pub violations: Vec<Violation>,
    /// Of everything that happened, in order.
    pub trace_hash: u64,
    /// The trace, when it was asked for.
    pub trace: Option<String>,
    /// How much time passed in the world.
    pub simulated: Duration,
    /// Requests that clients made.
    pub requests: usize,
    /// Calls that providers got.
    pub calls: usize,
}

/// Runs a schedule. The same plan gives the same report, always.
#[must_use]
pub fn run(plan: &Plan, readable: bool) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads and sockets can be made");
    runtime.block_on(async {
        let world = World::new(plan, readable);
        world.live().await;
        world.report()
    })
}

impl World {
    fn new(plan: &Plan, readable: bool) -> Arc<Self> {
        let settings = &plan.settings;
        let draw = Draw::of_seed(plan.seed).child("world");
        let time = Time::start();
        let observer = Arc::new(Observer::new(time, plan, readable));
        let database = Arc::new(Database::new(
            time,
            Arc::clone(&observer),
            draw.child("database"),
            settings.store_trip_max,
        ));
        let service = |index| {
            let (trip_max, timeout) = (settings.provider_trip_max, settings.engine.dispatch.call_timeout);
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

    /// First everything goes wrong, then nothing does: then all that was promised must come true.
    async fn live(self: &Arc<Self>) {
        self.nodes.iter().for_each(Node::start);
        let strikes: Vec<JoinHandle<()>> = (0..self.plan.faults.len())
            .map(|fault| tokio::spawn(Arc::clone(self).strike(fault)))
            .collect();
        let clients: Vec<JoinHandle<()>> = (0..self.plan.operations.len())
            .map(|operation| tokio::spawn(workload::perform(Arc::clone(self), operation)))
            .collect();
        while self.common.time.elapsed() < self.plan.settings.chaos
            || strikes.iter().any(|strike| !strike.is_finished())
        {
            if self.common.observer.has_findings() {
                return;
            }
            tokio::time::sleep(STEP).await;
        }
        self.heal();
        let healed = self.common.time.elapsed();
        let patience = self.patience();
        loop {
            if self.common.observer.has_findings() {
                return;
            }
            let served = clients.iter().all(JoinHandle::is_finished);
            if served && self.all_final() {
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
            tokio::time::sleep(STEP).await;
        }
        self.stop_all().await;
        self.common.observer.at_the_end(
            &self.plan,
            &self.common.database.memory,
            self.common.database.now(),
        );
    }

    fn heal(&self) {
        self.common.observer.note("healed", &[]);
        self.common.database.heal();
        for service in &self.common.services {
            service.get_into(crate::plan::Mood::Well, Duration::ZERO);
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

    /// How long it may take until everything is final once nothing goes wrong any more: the longest wait of a message and
    /// of a client, and then some.
    fn patience(&self) -> Duration {
        let engine = &self.plan.settings.engine;
        let deadline = engine.deadlines.sms.max(engine.deadlines.email);
        deadline.min(Duration::from_secs(600))
            + engine.dispatch.lease * 2
            + engine.dispatch.breaker.max_open * 4
            + Duration::from_secs(900)
    }

    fn all_final(&self) -> bool {
        let outbox = self.common.database.memory.outbox();
        outbox.iter().all(|(_, row)| row.dead_at.is_some())
    }

    fn pending(&self) -> String {
        let outbox = self.common.database.memory.outbox();
        let pending: Vec<String> = outbox
            .iter()
            .filter(|(_, row)| row.dead_at.is_none())
            .take(3)
            .map(|(id, row)| format!("{id} {row:?}"))
            .collect();
        format!("still pending: {}", pending.join("; "))
    }

    /// In a world without trouble every node comes to its end when it is told to.
    async fn stop_all(&self) {
        let within = self.plan.settings.engine.dispatch.call_timeout + Duration::from_secs(30);
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
        self.nodes.iter().for_each(Node::kill);
        self.common.observer.report()
    }
}
