use crate::world::{Kind, Offer, SOON, World, until};

/// A node that freezes for longer than its leases does not know that others took its messages: its late results change nothing
/// but `late_outcome`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_froze_during_a_call_changes_nothing_when_it_continues() {
    const SENDS: usize = 30;
    let world = World::new(Kind::Postgres)
        .set("API_PROVIDER_LATENCY_MS", 800)
        .set("API_WORKER_CALL_TIMEOUT_MS", 1_000)
        .set("API_WORKER_CLAIM_TIMEOUT_SECS", 2)
        .set("API_WORKER_POLL_MS", 50);
    let frozen = world.start_node().await;
    let mut offers: Vec<Offer> = (0..SENDS).map(|number| Offer::new("guest", number)).collect();
    for offer in &mut offers {
        offer.make(&frozen.client, &frozen.url).await.unwrap().expect(202);
    }
    until("calls are under way", SOON, async || {
        (!world.ledger().is_empty()).then_some(())
    })
    .await;
    frozen.freeze().await;
    let held = world.count("outbox where leased_until is not null").await;
    assert!(held > 0, "it froze too late");
    let other = world.start_node().await;
    until("the other node has all it held", SOON, async || {
        (world.count("attempts where outcome = 'unknown'").await == held).then_some(())
    })
    .await;
    frozen.thaw().await;
    let summary = world.audit_final(&offers).await;
    until("the node has recorded its calls", SOON, async || {
        (world.count("attempts where late_outcome is not null").await > 0).then_some(())
    })
    .await;
    println!("frozen node: {summary}");
    assert_eq!((summary.ambiguous, summary.failed), (held, 0), "{summary}");
    for node in [frozen, other] {
        assert!(
            node.log_lines("ERROR").is_empty(),
            "{:?}",
            node.log_lines("ERROR")
        );
        node.stop().await;
    }
}
