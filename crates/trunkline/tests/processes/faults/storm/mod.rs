//! Two nodes and one PostgreSQL under load, and a sequence of faults that the test chooses. In the end everything settles and is
//! audited.
//!
//! A violation does not end a storm: it is recorded, and the test decides in the end. So a long run always has a report.

mod diary;
mod fault;
mod guard;
mod outage;
mod strike;
mod trouble;

use throwaway_postgres::{Cluster, Proxy, StopMode};
use tokio::task::block_in_place;

use self::guard::guarded;
use super::{
    watch::{Seen, Watch},
    with_misbehaving_providers,
};
use crate::world::{Findings, Load, Node, Offer, Pace, Report, SOON, Summary, Targets, World};

pub(crate) use diary::{Diary, Place};
pub(crate) use fault::{Fault, ROUND, Strike, Strikes, Trouble};
pub(crate) use outage::{
    ANSWER_MAX, RECOVERY_MAX, alive_and_not_ready, all_refused, not_ready, repeat_ambiguous, until_accepted,
};

/// How many nodes there are.
pub(crate) const NODES: usize = 2;
/// A node uses 20 to 40 MB. Much more means that something grows.
const MEMORY_MAX_KB: u64 = 256 * 1024;

/// The world of a storm.
struct Storm {
    cluster: Cluster,
    /// Between the nodes and PostgreSQL.
    proxy: Proxy,
    /// The database's URL without the proxy.
    url: String,
    world: World,
    /// Which nodes are started without a provider.
    lacking: [bool; NODES],
    /// Empty while a node is down.
    nodes: [Option<Node>; NODES],
    targets: Targets,
    load: Load,
    watch: Watch,
    probes: Vec<Offer>,
    diary: Diary,
}

/// The results of a storm.
pub(crate) struct Aftermath {
    pub(crate) load: Report,
    /// `None` without an audit.
    pub(crate) audit: Option<(Summary, Findings)>,
    pub(crate) seen: Seen,
    pub(crate) diary: Diary,
}

/// Carries out the strikes. `settings` changes the nodes' settings.
pub(crate) async fn storm(
    pace: Pace,
    settings: impl FnOnce(World) -> World,
    strikes: impl IntoIterator<Item = Strike>,
) -> Aftermath {
    let mut storm = Storm::begin(pace, settings).await;
    for strike in strikes {
        storm.carry_out(strike).await;
        if !storm.diary.broken.is_empty() {
            storm.heal().await;
            break;
        }
    }
    storm.end().await
}

impl Storm {
    async fn begin(pace: Pace, settings: impl FnOnce(World) -> World) -> Self {
        let cluster = block_in_place(Cluster::start);
        let url = block_in_place(|| cluster.create_database());
        let proxy = Proxy::before(cluster.port());
        let world = settings(with_misbehaving_providers(World::on(url.clone())))
            .with_a_role_for_each_node()
            .await
            .set("DATABASE_URL", proxy.url(&url));
        let nodes = [world.start_node().await, world.start_node().await];
        let targets = Targets::of(&nodes);
        let mut diary = Diary::default();
        for (place, node) in nodes.iter().enumerate() {
            diary.places[place].arrived(node);
        }
        Self {
            load: Load::start(&targets, pace),
            watch: Watch::start(&targets, NODES, &url),
            cluster,
            proxy,
            url,
            world,
            lacking: [false; NODES],
            nodes: nodes.map(Some),
            targets,
            probes: Vec::new(),
            diary,
        }
    }

    async fn carry_out(
        &mut self,
        Strike {
            after,
            fault,
            meanwhile,
        }: Strike,
    ) {
        let struck = guarded(async {
            self.load.until_accepted(after).await;
            let waiting = self.world.count("outbox where dead_at is null").await;
            self.diary.waiting_max = self.diary.waiting_max.max(waiting);
            let trouble = match meanwhile {
                Some(trouble) => Some(self.begin_trouble(trouble).await),
                None => None,
            };
            let back_after = self.strike(fault).await;
            if let Some(trouble) = trouble {
                self.end_trouble(trouble).await;
            }
            self.diary.struck(fault, meanwhile, back_after);
            self.progress().await;
        })
        .await;
        let step = format!("{} {}", fault.name(), meanwhile.map_or("", Trouble::name));
        self.diary.note(&step, struck);
    }

    /// Makes everything run again, also after a fault that failed half-way.
    async fn heal(&mut self) {
        let healed = guarded(async {
            block_in_place(|| {
                self.cluster.stop(StopMode::Immediate);
                self.cluster.start_again();
            });
            self.end_all_troubles().await;
            for place in 0..NODES {
                let running = self.nodes[place].as_mut().is_some_and(Node::is_running);
                match &self.nodes[place] {
                    Some(node) if running => {
                        node.thaw().await;
                        self.targets.thaw(place);
                    }
                    _ => self.arrive(place).await,
                }
            }
        })
        .await;
        self.diary.note("healing", healed);
    }

    async fn end(mut self) -> Aftermath {
        let mut load = self.load.stop().await;
        load.offers.append(&mut self.probes);
        let mut seen = self.watch.stop().await;
        load.offers.append(&mut seen.offers);
        self.diary.broken.append(&mut seen.broken);
        let settled = guarded(async {
            let node = self.nodes[0].as_ref().expect("it runs");
            repeat_ambiguous(node, &mut load.offers).await;
            self.world.until_all_final(SOON).await;
        })
        .await;
        self.diary.note("settling", settled);
        for place in 0..NODES {
            if let Some(node) = self.nodes[place].take() {
                self.diary.places[place].ends(&node);
                let log = node.log_file();
                let stopped = guarded(node.stop()).await;
                self.diary.note("the last stop", stopped);
                self.diary.read(&log);
            }
        }
        let audited = guarded(self.world.find_wrong(&load.offers)).await;
        let audit = self.diary.note("the audit", audited);
        if let Some((_, found)) = audit.as_ref().filter(|(_, found)| !found.is_empty()) {
            self.diary.broken.push(found.to_string());
        }
        for place in &self.diary.places {
            if place.memory_max > Some(MEMORY_MAX_KB) {
                let grown = format!("memory grew to {:?} kB", place.memory_max);
                self.diary.broken.push(grown);
            }
        }
        Aftermath {
            load,
            audit,
            seen,
            diary: self.diary,
        }
    }
}

impl Aftermath {
    /// The audit's counts, after a check that there is no violation.
    pub(crate) fn unbroken(&self) -> &Summary {
        let broken = &self.diary.broken;
        assert!(broken.is_empty(), "{}", broken.join("\n"));
        &self.audit.as_ref().expect("an audit").0
    }
}
