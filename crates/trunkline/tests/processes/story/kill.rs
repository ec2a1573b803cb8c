use std::time::Duration;

use crate::world::{Kind, Load, Pace, SOON, Targets, World, on_both_databases};

on_both_databases!(a_kill_under_load_loses_nothing);

const PACE: Pace = Pace {
    clients: 8,
    every: Duration::from_millis(4),
    timeout: SOON,
};

async fn a_kill_under_load_loses_nothing(kind: Kind) {
    const KILLS: usize = 3;
    // Calls take long enough that a kill interrupts some; the entries of a dead node are claimed after their leases.
    let world = World::new(kind)
        .set("API_PROVIDER_LATENCY_MS", 20)
        .set("API_WORKER_CALL_TIMEOUT_MS", 500)
        .set("API_WORKER_CLAIM_TIMEOUT_SECS", 2)
        .set("API_WORKER_BACKOFF_BASE_MS", 20);
    let mut node = world.start_node().await;
    let targets = Targets::of([&node]);
    let load = Load::start(&targets, PACE);
    for _ in 0..KILLS {
        load.until_accepted(200).await;
        node.kill().await;
        node = world.start_node().await;
        targets.replace(0, &node);
    }
    load.until_accepted(100).await;
    let report = load.stop().await;
    let summary = world.audit_final(&report.offers).await;
    println!(
        "{KILLS} kills on {kind:?}: {summary}; {} requests cut off",
        report.unanswered()
    );
    assert!(report.unanswered() > 0, "no kill hit a request");
    assert!(summary.ambiguous > 0, "no kill hit a call");
}
