use std::time::Duration;

use throwaway_postgres::{Cluster, StopMode};
use tokio::task::{JoinSet, block_in_place};

use super::with_misbehaving_providers;
use crate::world::{Client, Load, Node, Offer, Pace, SOON, Stopwatch, Targets, World, until};

const PACE: Pace = Pace {
    clients: 8,
    every: Duration::from_millis(10),
};
/// The promise is two seconds. A busy machine may add some.
const ANSWER_MAX: Duration = Duration::from_secs(4);
/// The promise is two seconds here too.
const RECOVERY_MAX: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_crashes_of_postgres_lose_nothing_and_hang_nobody() {
    const CRASHES: usize = 5;
    let mut cluster = block_in_place(Cluster::start);
    let world = with_misbehaving_providers(World::on(block_in_place(|| cluster.create_database())));
    let nodes = [world.start_node().await, world.start_node().await];
    let load = Load::start(&Targets::of(&nodes), PACE);
    let mut probes = Vec::new();
    let (mut slowest_refusal, mut slowest_recovery) = (Duration::ZERO, Duration::ZERO);
    for crash in 0..CRASHES {
        load.until_accepted(150).await;
        block_in_place(|| cluster.stop(StopMode::Immediate));
        for node in &nodes {
            for attempt in 0..3 {
                let probe = probe(crash, node, &format!("outage {attempt}"));
                let (probe, took) = refused(&node.client, &node.url, probe).await;
                slowest_refusal = slowest_refusal.max(took);
                probes.push(probe);
            }
            alive_and_not_ready(node).await;
        }
        block_in_place(|| cluster.start_again());
        let watch = Stopwatch::start();
        for node in &nodes {
            let mut probe = probe(crash, node, "return");
            // With a key, since whether an earlier try was stored may be unknown.
            probe.key = Some(probe.body.replace(' ', "-"));
            until("sends are accepted again", RECOVERY_MAX, async || {
                let answer = probe.make(&node.client, &node.url).await.unwrap();
                assert!([202, 503].contains(&answer.status), "{}", answer.status);
                (answer.status == 202).then_some(())
            })
            .await;
            probes.push(probe);
        }
        slowest_recovery = slowest_recovery.max(watch.elapsed());
    }
    load.until_accepted(100).await;
    let mut report = load.stop().await;
    report.offers.extend(probes);
    let summary = world.audit_final(&report.offers).await;
    println!(
        "{CRASHES} crashes of PostgreSQL: {summary}; {} answers 503, the slowest refusal after {slowest_refusal:?}, under \
         load {:?}; back after {slowest_recovery:?} at most",
        report.refused, report.slowest
    );
    assert!(
        report.slowest <= ANSWER_MAX,
        "somebody waited {:?}",
        report.slowest
    );
    assert_eq!(report.unanswered, 0, "nodes stay up");
    assert_eq!(summary.failed, 0, "{summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_postgres_loses_nothing_and_hangs_nobody() {
    const SENDS: usize = 20;
    const ROUNDS: usize = 2;
    let mut cluster = block_in_place(Cluster::start);
    let world = World::on(block_in_place(|| cluster.create_database()));
    let node = world.start_node().await;
    let mut offers = Vec::new();
    for number in 0..SENDS {
        offers.push(Offer::new("before", number));
    }
    for offer in &mut offers {
        offer.make(&node.client, &node.url).await.unwrap().expect(202);
    }
    world.until_all_final(SOON).await;
    // No connection breaks and no new one is refused: there is only silence.
    block_in_place(|| cluster.pause());
    let mut slowest = Duration::ZERO;
    for round in 0..ROUNDS {
        let mut sends = JoinSet::new();
        for number in 0..SENDS {
            let (client, url) = (node.client.clone(), node.url.clone());
            let offer = Offer::new(&format!("during{round}"), number);
            sends.spawn(async move { refused(&client, &url, offer).await });
        }
        for (offer, took) in sends.join_all().await {
            offers.push(offer);
            slowest = slowest.max(took);
        }
        alive_and_not_ready(&node).await;
    }
    block_in_place(|| cluster.resume());
    let watch = Stopwatch::start();
    let mut first = Offer::new("after", 0);
    until("sends are accepted again", RECOVERY_MAX, async || {
        let answer = first.make(&node.client, &node.url).await.unwrap();
        (answer.status == 202).then_some(())
    })
    .await;
    println!(
        "frozen PostgreSQL: the slowest refusal after {slowest:?}, back after {:?}",
        watch.elapsed()
    );
    offers.push(first);
    // What was refused with an unknown outcome may be stored or not; asked again with its key, it is, once.
    for offer in offers.iter_mut().filter(|offer| offer.key.is_some()) {
        offer.make(&node.client, &node.url).await.unwrap().expect(202);
    }
    world.audit_final(&offers).await;
}

fn probe(crash: usize, node: &Node, when: &str) -> Offer {
    let mut offer = Offer::new("probe", 0);
    offer.body = format!("probe of {} at crash {crash}, {when}", node.url);
    offer.key = None;
    offer
}

/// Sends while the database is away: an answer in time, a 503 that says when to come back.
async fn refused(client: &Client, url: &str, mut offer: Offer) -> (Offer, Duration) {
    let watch = Stopwatch::start();
    let answer = offer.make(client, url).await.unwrap();
    let took = watch.elapsed();
    assert_eq!(answer.header("retry-after"), Some("1"));
    let code = answer.expect_problem(503);
    assert!(
        ["store_unavailable", "outcome_unknown"].contains(&code.as_str()),
        "{code}"
    );
    assert!(took <= ANSWER_MAX, "a refusal took {took:?}");
    (offer, took)
}

async fn alive_and_not_ready(node: &Node) {
    node.get("/healthz").await.expect(200);
    for path in ["/readyz", "/api/conversations"] {
        let watch = Stopwatch::start();
        assert_eq!(node.get(path).await.expect_problem(503), "store_unavailable");
        assert!(watch.elapsed() <= ANSWER_MAX, "{path} took {:?}", watch.elapsed());
    }
}
