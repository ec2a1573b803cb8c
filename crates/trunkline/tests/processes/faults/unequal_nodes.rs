use hyper::Method;
use serde_json::json;

use super::with_misbehaving_providers;
use crate::world::{Kind, Offer, SOON, World, until};

/// During a rolling restart that enables a provider, only some nodes have it. A node without it must not make its messages dead
/// letters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_provider_leaves_its_messages_to_a_node_that_has_it() {
    const SENDS: usize = 40;
    let world = with_misbehaving_providers(World::new(Kind::Postgres))
        .set("API_PROVIDER_ERROR_PCT", 100)
        .set("API_PROVIDER_TIMEOUT_PCT", 0)
        .set("API_PROVIDER_RATELIMIT_PCT", 0)
        .set("API_WORKER_MAX_ATTEMPTS", 1_000);
    let first = world.start_node().await;
    let mut offers: Vec<Offer> = (0..SENDS).map(|number| Offer::new("guest", number)).collect();
    for offer in &mut offers {
        offer.make(&first.client, &first.url).await.unwrap().expect(202);
    }
    let world = world.set("API_PROVIDER_EMAIL_ENABLED", false);
    let lacking = world.start_node().await;
    first.kill().await;
    // Twice as long as a node takes between two sweeps.
    until(
        "the node without the provider has tried to route the message",
        SOON,
        async || {
            let unserved =
                "providers where provider = 'email' and observed_at - unserved_since > interval '11 seconds'";
            (world.count(unserved).await == 1).then_some(())
        },
    )
    .await;
    assert_eq!(world.count("outbox where dead_at is not null").await, 0);

    let world = world
        .set("API_PROVIDER_EMAIL_ENABLED", true)
        .set("API_PROVIDER_ERROR_PCT", 0);
    let next = world.start_node().await;
    let calm = json!({"timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0});
    let calmed = lacking.ask(Method::PUT, "/api/provider/mock/config", &[], Some(&calm));
    calmed.await.expect(200);
    let summary = world.audit_final(&offers).await;
    println!("unequal nodes: {summary}");
    assert_eq!(summary.failed, 0, "{summary}");
    for node in [lacking, next] {
        node.stop().await;
    }
}
