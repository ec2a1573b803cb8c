use std::time::Duration;

use super::with_misbehaving_providers;
use crate::world::{Kind, Load, Pace, Targets, World};

const PACE: Pace = Pace {
    clients: 8,
    every: Duration::from_millis(10),
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_of_two_nodes_lose_nothing() {
    const KILLS: usize = 10;
    let world = with_misbehaving_providers(World::new(Kind::Postgres));
    let mut nodes = vec![world.start_node().await, world.start_node().await];
    let targets = Targets::of(&nodes);
    let load = Load::start(&targets, PACE);
    for kill in 0..KILLS {
        load.until_accepted(150).await;
        let place = kill % 2;
        nodes.remove(place).kill().await;
        // The other node and the clients go on meanwhile.
        load.until_accepted(30).await;
        nodes.insert(place, world.start_node().await);
        targets.replace(place, &nodes[place]);
    }
    load.until_accepted(100).await;
    let report = load.stop().await;
    let summary = world.audit_final(&report.offers).await;
    println!(
        "{KILLS} kills of two nodes: {summary}; {} requests cut off",
        report.unanswered
    );
    assert_eq!(summary.failed, 0, "{summary}");
    assert!(
        summary.ambiguous > 0 && report.unanswered > 0,
        "the kills hit nothing"
    );
}
