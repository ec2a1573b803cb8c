//! Two nodes on a primary and its synchronous standby; their URL names both. In each round the primary is killed or freezes, the
//! standby is promoted, and a new standby starts. docs/soak.md says how to run many rounds.

use std::{fmt, time::Duration};

use throwaway_postgres::{Cluster, Replication, StopMode};
use tokio::task::block_in_place;

use super::{
    storm::{ANSWER_MAX, RECOVERY_MAX, all_refused, not_ready, repeat_ambiguous, until_accepted},
    variable,
    watch::Watch,
    with_misbehaving_providers,
};
use crate::world::{Load, Node, Offer, Pace, SOON, Stopwatch, Targets, World};

const NODES: usize = 2;
/// Every kind of failover once.
const ROUNDS_MIN: u64 = 3;
const PACE: Pace = Pace {
    clients: 8,
    every: Duration::from_millis(10),
    timeout: ANSWER_MAX,
};
/// Messages that are accepted between two failovers.
const BETWEEN: usize = 150;
/// How many sends each node refuses while there is no primary, besides those of the load.
const REFUSALS: usize = 3;

/// How a primary is lost.
#[derive(Debug, Clone, Copy)]
enum Loss {
    Killed,
    /// It hangs with its connections open, and is fenced only when the standby has taken over.
    Frozen,
    /// The standby freezes first, so that commits on the primary wait for it. The primary restarts, shows rows that the
    /// standby lacks, and is killed.
    KilledAfterItsStandbyFroze,
}

impl Loss {
    fn of_round(round: u64) -> Self {
        match round % ROUNDS_MIN {
            // The nodes have never connected to the standby, and the first host in their URL does not answer.
            0 => Self::Frozen,
            1 => Self::KilledAfterItsStandbyFroze,
            _ => Self::Killed,
        }
    }
}

/// The results of a round.
struct Round {
    loss: Loss,
    slowest_refusal: Duration,
    /// From the promotion to the first acknowledgement of each node.
    back_after: [Duration; NODES],
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failovers_lose_nothing_and_sends_go_on() {
    let rounds = variable("SOAK_FAILOVERS").unwrap_or(ROUNDS_MIN);
    let primary = block_in_place(Cluster::start);
    let url = block_in_place(|| primary.create_database());
    let database = url.rsplit_once('/').expect("a URL has a path").1.to_owned();
    let standby = block_in_place(|| primary.standby(Replication::Synchronous));
    let world = with_misbehaving_providers(World::on(url.clone()))
        .set(
            "DATABASE_URL",
            Cluster::failover_url([&primary, &standby], &database),
        )
        .with_a_role_for_each_node()
        .await;
    let nodes = [world.start_node().await, world.start_node().await];
    let targets = Targets::of(&nodes);
    let mut pair = Pair {
        load: Load::start(&targets, PACE),
        watch: Watch::start(&targets, NODES, &url),
        primary,
        standby,
        database,
        world,
        nodes,
        probes: Vec::new(),
    };
    let mut rows = Vec::new();
    for round in 0..rounds {
        pair.load.until_accepted(BETWEEN).await;
        let row;
        (pair, row) = pair.fail_over(Loss::of_round(round)).await;
        println!("failover {round}: {row}");
        rows.push(row);
    }
    pair.end(&rows).await;
}

struct Pair {
    primary: Cluster,
    standby: Cluster,
    database: String,
    world: World,
    nodes: [Node; NODES],
    load: Load,
    watch: Watch,
    probes: Vec<Offer>,
}

impl Pair {
    async fn fail_over(mut self, loss: Loss) -> (Self, Round) {
        block_in_place(|| match loss {
            Loss::Killed => self.primary.stop(StopMode::Kill),
            Loss::Frozen => self.primary.pause(),
            Loss::KilledAfterItsStandbyFroze => self.standby.pause(),
        });
        let probes = self.new_probes();
        let mut slowest_refusal = self.refused(probes).await;
        if matches!(loss, Loss::KilledAfterItsStandbyFroze) {
            // New messages in the same batch would delay the repeats.
            self.load.pause();
            block_in_place(|| {
                self.primary.stop(StopMode::Immediate);
                self.primary.start_again();
            });
            let repeated = self.probes.split_off(self.probes.len() - NODES * REFUSALS);
            slowest_refusal = slowest_refusal.max(self.refused(repeated).await);
            self.load.resume();
            block_in_place(|| {
                self.primary.stop(StopMode::Kill);
                self.standby.resume();
            });
        }
        block_in_place(|| self.standby.promote());
        let back_after = self.until_served().await;
        // Killed only now, if it was frozen.
        let standby = block_in_place(|| {
            self.standby
                .standby_in_place_of(self.primary, Replication::Synchronous)
        });
        let url = self.standby.url(&self.database);
        self.watch.moved_to(&url);
        self.world.moved_to(url);
        let row = Round {
            loss,
            slowest_refusal,
            back_after,
        };
        let pair = Self {
            primary: self.standby,
            standby,
            ..self
        };
        (pair, row)
    }

    fn new_probes(&self) -> Vec<Offer> {
        let before = self.probes.len();
        (before..before + NODES * REFUSALS).map(probe).collect()
    }

    /// While no commit can end, every send is refused in time, and no node says that it is ready. The slowest refusal.
    async fn refused(&mut self, mut first: Vec<Offer>) -> Duration {
        let second = first.split_off(REFUSALS);
        let (one, two, (), ()) = tokio::join!(
            all_refused(&self.nodes[0], first.into_iter()),
            all_refused(&self.nodes[1], second.into_iter()),
            not_ready(&self.nodes[0]),
            not_ready(&self.nodes[1])
        );
        let mut slowest = Duration::ZERO;
        for (offers, took) in [one, two] {
            self.probes.extend(offers);
            slowest = slowest.max(took);
        }
        slowest
    }

    async fn until_served(&mut self) -> [Duration; NODES] {
        let watch = Stopwatch::start();
        let before = self.probes.len();
        let serve = async |place: usize| {
            let mut offer = probe(before + place);
            until_accepted(&self.nodes[place], &mut offer, RECOVERY_MAX).await;
            (offer, watch.elapsed())
        };
        let ((one, first), (two, second)) = tokio::join!(serve(0), serve(1));
        self.probes.extend([one, two]);
        [first, second]
    }

    async fn end(self, rounds: &[Round]) {
        let mut report = self.load.stop().await;
        let seen = self.watch.stop().await;
        report.offers.extend(self.probes);
        report.offers.extend(seen.offers);
        repeat_ambiguous(&self.nodes[0], &mut report.offers).await;
        self.world.until_all_final(SOON).await;
        for node in self.nodes {
            assert!(
                node.log_lines("ERROR").is_empty(),
                "{:?}",
                node.log_lines("ERROR")
            );
            node.stop().await;
        }
        let (summary, found) = self.world.find_wrong(&report.offers).await;
        let back_after = rounds.iter().flat_map(|round| round.back_after).max();
        println!(
            "{} failovers: {summary}; back after {:?} at most; slowest answer {:?}; refused {:?}; /readyz compared {} times, \
             wrong for {:?} at most; {} reads on the way; {} connections of a node at most",
            rounds.len(),
            back_after.unwrap_or_default(),
            report.slowest,
            report.refusals,
            seen.compared,
            seen.longest_disagreement,
            seen.reads,
            seen.backends_max
        );
        assert!(found.is_empty(), "{found}");
        assert!(seen.broken.is_empty(), "{}", seen.broken.join("\n"));
        assert!(
            report.slowest <= ANSWER_MAX,
            "an answer took {:?}",
            report.slowest
        );
        assert_eq!(report.unanswered(), 0, "the nodes stay up");
    }
}

/// Repeatable, with a body of its own.
fn probe(number: usize) -> Offer {
    let mut offer = Offer::new("probe", 0);
    offer.body = format!("probe {number}");
    offer.key = Some(format!("probe-{number}"));
    offer
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            loss,
            slowest_refusal,
            back_after,
        } = self;
        write!(
            f,
            "{loss:?}: the slowest refusal after {slowest_refusal:?}, the nodes accept {back_after:?} after the promotion"
        )
    }
}
