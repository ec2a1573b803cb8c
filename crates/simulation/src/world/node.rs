use std::{
    future::Future,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};

use domain::{Clock, ProviderName};
use engine::{BreakerReport, BreakerState, Engine, Metrics, Spawn, WebhookCaller};
use mutants::Mutant;
use parking_lot::Mutex;
use providers::{
    Provider, Routes,
    simulator::{Faults, Simulators, receipt_channel},
};
use store::Store;
use tokio::sync::oneshot;

use super::{
    Caller, Common,
    connection::Connection,
    gate::{Condition, Gate},
    service::ProviderStub,
    time::NodeClock,
};

/// A machine. The program on it starts and dies; its wrong clock stays.
pub(crate) struct Node {
    pub(crate) index: usize,
    common: Arc<Common>,
    wrong_by_micros: Arc<AtomicI64>,
    life: Mutex<Option<Life>>,
    /// The provider its configuration lacks.
    lacks: Mutex<Option<usize>>,
}

/// One run of the program on a node.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) number: u32,
    pub(crate) gate: Gate,
    pub(crate) engine: Arc<Engine>,
    simulators: Option<Arc<Simulators>>,
    /// Whether it accepts requests.
    listening: Arc<AtomicBool>,
    connections: Arc<AtomicU32>,
}

impl Node {
    pub(crate) fn new(index: usize, common: Arc<Common>) -> Self {
        let wrong_by = common.draw.child(&format!("clock/{index}"));
        let wrong_by_micros = wrong_by.between(0, 10_000_000) as i64 - 5_000_000;
        Self {
            index,
            common,
            wrong_by_micros: Arc::new(AtomicI64::new(wrong_by_micros)),
            life: Mutex::new(None),
            lacks: Mutex::new(None),
        }
    }

    pub(crate) fn life(&self) -> Option<Life> {
        self.life.lock().clone()
    }

    pub(crate) fn set_clock(&self, by_ms: i64) {
        self.wrong_by_micros.fetch_add(by_ms * 1_000, Ordering::Relaxed);
    }

    /// Changes the configuration, which the program reads when it starts.
    pub(crate) fn leave_out(&self, provider: Option<usize>) {
        *self.lacks.lock() = provider;
    }

    /// Starts the program.
    pub(crate) fn start(&self) {
        let common = &self.common;
        let number = common.lives.fetch_add(1, Ordering::Relaxed);
        let draw = common.draw.child(&format!("life/{number}"));
        let gate = Gate::new(draw.child("gate"), common.settings.yields_permille);
        let clock: Arc<dyn Clock> = Arc::new(NodeClock {
            time: common.time,
            wrong_by_micros: Arc::clone(&self.wrong_by_micros),
            booted: draw.millis(0, 1_000_000),
        });
        let simulators = common.settings.simulators.clone().map(|settings| {
            let (receipts, _) = receipt_channel(&clock);
            let entropy = draw.entropy("simulators");
            let simulators = Simulators::new(settings, &entropy, Arc::clone(&clock), &receipts);
            Arc::new(simulators.expect("three quarters of all calls are not more than all"))
        });
        let lacks = *self.lacks.lock();
        let stubs: Vec<Arc<ProviderStub>> = common
            .services
            .iter()
            .filter(|service| Some(service.index) != lacks)
            .map(|service| {
                Arc::new(ProviderStub {
                    service: Arc::clone(service),
                    database: Arc::clone(&common.database),
                    life: number,
                    gate: gate.clone(),
                    engine: OnceLock::new(),
                    simulator: simulators
                        .as_deref()
                        .and_then(|simulators| one_named(simulators, service.name())),
                })
            })
            .collect();
        let providers = stubs
            .iter()
            .map(|stub| Arc::clone(stub) as Arc<dyn Provider>)
            .collect();
        let serving = stubs.iter().map(|stub| stub.service.name().clone()).collect();
        let routes = Routes::new(providers).expect("the providers differ");
        let store: Arc<dyn Store> = Arc::new(Connection {
            database: Arc::clone(&common.database),
            life: number,
        });
        let metrics = Arc::new(Metrics::new());
        common
            .observer
            .life_began(number, self.index, serving, Arc::clone(&metrics));
        let mut settings = common.settings.engine.clone();
        if mutants::planted(Mutant::BudgetIgnored) {
            settings.dispatch.attempts_max = u32::MAX;
        }
        let engine = Engine::start(
            settings,
            store,
            routes,
            clock,
            &draw.entropy("engine"),
            metrics,
            Arc::new(gate.clone()),
        );
        if common
            .settings
            .lifecycle
            .as_ref()
            .is_some_and(|lifecycle| !lifecycle.receivers.is_empty())
        {
            let caller = Arc::new(Caller(Arc::clone(common)));
            engine.deliver_webhooks(Arc::clone(&caller) as Arc<dyn WebhookCaller>, caller);
        }
        for stub in &stubs {
            let _ = stub.engine.set(Arc::downgrade(&engine));
        }
        tokio::spawn(watch_over(Arc::clone(&engine), gate.clone(), Arc::clone(common)));
        let life = Life {
            number,
            gate,
            engine,
            simulators,
            listening: Arc::new(AtomicBool::new(true)),
            connections: Arc::default(),
        };
        *self.life.lock() = Some(life);
    }

    /// Dies at once.
    pub(crate) fn kill(&self) {
        let life = self.life.lock().take();
        if let Some(life) = life {
            life.gate.set(Condition::Dead);
            self.common.observer.life_ended(life.number, self.index);
        }
    }
}

impl Life {
    /// Whether it could call this provider now.
    pub(crate) fn is_serving(&self, provider: &ProviderName) -> bool {
        let closed = |report: BreakerReport| report.state == BreakerState::Closed;
        self.listening.load(Ordering::Relaxed)
            && self.gate.condition() == Condition::Running
            && self.engine.breaker(provider).is_some_and(closed)
    }

    /// Makes the product's simulators behave well from now on.
    pub(crate) fn calm_simulators(&self) {
        if let Some(simulators) = &self.simulators {
            let calm = Faults {
                latency: simulators.config().faults.latency,
                ..Faults::default()
            };
            simulators
                .replace(calm.into())
                .expect("nothing is not more than all");
        }
    }

    /// Runs a request on the node. `None` without an answer: the node died, or the client timed out.
    pub(crate) async fn request<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        if !self.listening.load(Ordering::Relaxed) {
            return None;
        }
        let (mut reply, answer) = oneshot::channel();
        let connections = Arc::clone(&self.connections);
        connections.fetch_add(1, Ordering::Relaxed);
        self.gate.spawn(Box::pin(async move {
            tokio::select! {
                biased;
                () = reply.closed() => {}
                result = work => {
                    let _ = reply.send(result);
                }
            }
            connections.fetch_sub(1, Ordering::Relaxed);
        }));
        tokio::time::timeout(patience, answer).await.ok()?.ok()
    }

    /// Shuts down as the program does: finishes the requests, then the calls. True if it finished in time.
    pub(crate) async fn stop(&self, within: Duration) -> bool {
        self.listening.store(false, Ordering::Relaxed);
        let requests_done = async {
            while self.connections.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let requests_done = tokio::time::timeout(within, requests_done).await.is_ok();
        let engine = Arc::clone(&self.engine);
        let (done, ended) = oneshot::channel();
        self.gate.spawn(Box::pin(async move {
            let began = engine.monotonic();
            engine.drain(within).await;
            let _ = done.send(engine.monotonic() - began < within);
        }));
        ended.await.unwrap_or(false) && requests_done
    }
}

fn one_named(simulators: &Simulators, name: &ProviderName) -> Option<Arc<dyn Provider>> {
    let mut all = simulators.providers().into_iter();
    all.find(|simulator| simulator.name() == name)
}

/// If a critical task of a node panics, the program exits; in the simulation that is a finding.
async fn watch_over(engine: Arc<Engine>, gate: Gate, common: Arc<Common>) {
    let watched = Arc::downgrade(&engine);
    drop(engine);
    loop {
        tokio::time::sleep(Duration::from_secs(10)).await;
        if gate.condition() == Condition::Dead {
            return;
        }
        let Some(engine) = watched.upgrade() else { return };
        let failed = tokio::time::timeout(Duration::ZERO, engine.failed())
            .await
            .is_ok();
        if failed && gate.condition() != Condition::Dead {
            common
                .observer
                .found("no vital task panics", "a vital task ended".to_owned());
            return;
        }
    }
}
