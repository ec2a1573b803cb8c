//! Carries out each fault, and checks what must hold meanwhile.

use std::time::Duration;

use throwaway_postgres::StopMode;
use tokio::task::{JoinSet, block_in_place};

use super::{
    Fault, NODES, RECOVERY_MAX, Storm,
    outage::{alive_and_not_ready, all_refused, not_ready, until_accepted},
};
use crate::world::{Log, Node, Offer, SOON, Stopwatch, execute, until};

/// Messages that the other node must accept while one is down or frozen.
const MEANWHILE: usize = 30;
/// Sends that each node refuses while the database is away, besides those of the load.
const REFUSALS: usize = 3;
/// How long a due message may wait after a fault: expired leases, a cool-down, some calls that time out, and a busy machine.
const PROGRESS_MAX: Duration = Duration::from_secs(20);

impl Storm {
    /// Carries it out. Returns how long after its end all nodes served again.
    pub(super) async fn strike(&mut self, fault: Fault) -> Duration {
        for node in self.nodes.iter_mut().flatten() {
            assert!(node.is_running(), "a node ended by itself:\n{}", node.log());
        }
        match fault {
            Fault::KillNode(place) => {
                self.kill(&[place]).await;
                self.load.until_accepted(MEANWHILE).await;
                self.start(&[place]).await
            }
            Fault::KillAllNodes => {
                self.kill(&[0, 1]).await;
                self.start(&[0, 1]).await
            }
            Fault::ReplaceNodes => {
                let mut longest = Duration::ZERO;
                for place in 0..NODES {
                    longest = longest.max(self.replace(place).await);
                }
                longest
            }
            Fault::FreezeNode(place) => self.freeze(place).await,
            Fault::CrashDatabase => {
                block_in_place(|| self.cluster.stop(StopMode::Immediate));
                self.outage(true).await;
                block_in_place(|| self.cluster.start_again());
                self.until_served(&[0, 1]).await
            }
            Fault::FreezeDatabase => {
                block_in_place(|| self.cluster.pause());
                self.outage(true).await;
                block_in_place(|| self.cluster.resume());
                self.until_served(&[0, 1]).await
            }
            Fault::ReadOnlyDatabase => {
                self.administer("set default_transaction_read_only = on").await;
                self.kill_backends().await;
                self.outage(false).await;
                // Connections that were opened meanwhile stay read-only.
                self.administer("reset default_transaction_read_only").await;
                self.until_served(&[0, 1]).await
            }
            Fault::KillBackends => {
                self.kill_backends().await;
                self.until_served(&[0, 1]).await
            }
        }
    }

    /// Stops a node in order, and starts it again.
    pub(super) async fn replace(&mut self, place: usize) -> Duration {
        let node = self.depart(place);
        let log = node.log_file();
        node.stop().await;
        self.diary.stopped += 1;
        self.diary.read(&log);
        self.start(&[place]).await
    }

    /// Changes the database itself, from another one.
    pub(super) async fn administer(&self, change: &str) {
        let (_, name) = self.url.rsplit_once('/').expect("a URL has a path");
        let statement = format!("alter database {name} {change}");
        execute(&self.cluster.url("postgres"), &statement).await.unwrap();
    }

    async fn kill_backends(&self) {
        let statement =
            "select pg_terminate_backend(pid) from pg_stat_activity where usename like 'node\\_%'";
        execute(&self.cluster.url("postgres"), statement).await.unwrap();
    }

    /// Waits until all messages that are due now have been tried.
    pub(super) async fn progress(&mut self) {
        let watch = Stopwatch::start();
        let due = format!(
            "outbox where dead_at is null and due_at <= '{}'",
            self.world.time().await
        );
        until("all that was due is tried", PROGRESS_MAX, async || {
            (self.world.count(&due).await == 0).then_some(())
        })
        .await;
        self.diary.slowest_progress = self.diary.slowest_progress.max(watch.elapsed());
    }

    /// All of these concurrently.
    async fn kill(&mut self, places: &[usize]) {
        let nodes: Vec<Node> = places.iter().map(|place| self.depart(*place)).collect();
        let logs: Vec<Log> = nodes.iter().map(Node::log_file).collect();
        self.diary.killed += nodes.len();
        JoinSet::from_iter(nodes.into_iter().map(Node::kill))
            .join_all()
            .await;
        for log in logs {
            self.diary.read(&log);
        }
    }

    async fn start(&mut self, places: &[usize]) -> Duration {
        let watch = Stopwatch::start();
        for place in places {
            self.arrive(*place).await;
        }
        self.until_served(places).await;
        watch.elapsed()
    }

    /// The node is frozen until others hold all its leases, and clients repeat elsewhere what it has not read yet.
    async fn freeze(&mut self, place: usize) -> Duration {
        self.targets.freeze(place);
        self.node(place).freeze().await;
        let last_lease = self.world.last_lease().await;
        self.load.until_given_up().await;
        self.targets.avoid(place);
        let held = format!("outbox where leased_until <= '{last_lease}'");
        until("others have all it held", SOON, async || {
            (self.world.count(&held).await == 0).then_some(())
        })
        .await;
        self.load.until_accepted(MEANWHILE).await;
        self.node(place).thaw().await;
        self.targets.thaw(place);
        self.until_served(&[place]).await
    }

    /// While the database takes no writes, both nodes live and answer in time.
    async fn outage(&mut self, reads_too: bool) {
        let storm = &*self;
        let probes = |place: usize| {
            let probe = move |number| storm.probe(place, &format!("refused {number}"), false);
            all_refused(storm.node(place), (0..REFUSALS).map(probe))
        };
        let says_so = async |place: usize| match reads_too {
            true => alive_and_not_ready(storm.node(place)).await,
            false => not_ready(storm.node(place)).await,
        };
        let (one, two, (), ()) = tokio::join!(probes(0), probes(1), says_so(0), says_so(1));
        for (offers, took) in [one, two] {
            self.probes.extend(offers);
            self.diary.slowest_refusal = self.diary.slowest_refusal.max(took);
        }
    }

    /// Waits until these nodes accept, and says how long that took.
    async fn until_served(&mut self, places: &[usize]) -> Duration {
        let watch = Stopwatch::start();
        for place in places {
            // Recorded first, so that it is audited even if this fails.
            self.probes.push(self.probe(*place, "served", true));
            let node = self.nodes[*place].as_ref().expect("it runs");
            let probe = self.probes.last_mut().expect("just pushed");
            until_accepted(node, probe, RECOVERY_MAX).await;
        }
        watch.elapsed()
    }

    fn probe(&self, place: usize, what: &str, repeatable: bool) -> Offer {
        let mut offer = Offer::new("probe", 0);
        offer.body = format!("probe {} of node {place}: {what}", self.probes.len());
        offer.key = repeatable.then(|| offer.body.replace(' ', "-"));
        offer
    }

    fn node(&self, place: usize) -> &Node {
        self.nodes[place].as_ref().expect("it runs")
    }

    /// Takes a node out that is about to end.
    fn depart(&mut self, place: usize) -> Node {
        let node = self.nodes[place].take().expect("it runs");
        self.diary.places[place].ends(&node);
        node
    }

    /// Starts a node in an empty place.
    pub(super) async fn arrive(&mut self, place: usize) {
        let without_email = [("API_PROVIDER_EMAIL_ENABLED", "false")];
        let settings = if self.lacking[place] {
            &without_email[..]
        } else {
            &[]
        };
        let node = self.world.start_node_with(settings).await;
        self.targets.replace(place, &node);
        self.diary.places[place].arrived(&node);
        self.nodes[place] = Some(node);
    }
}
