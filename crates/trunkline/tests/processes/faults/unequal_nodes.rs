use hyper::Method;
use serde_json::json;

use super::with_misbehaving_providers;
use crate::world::{Kind, Offer, SOON, World, until};

/// What a provider's only node leaves behind waits for the next node that has it, though another node runs that does not: so it
/// is while a rolling restart enables a provider. The node without it buried these messages within five seconds once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_provider_buries_nothing_that_another_one_will_send() {
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
        "the other node has looked for the provider in vain",
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
