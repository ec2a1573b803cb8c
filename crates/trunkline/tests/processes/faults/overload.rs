use std::time::Duration;

use crate::world::{Kind, Offer, Stopwatch, World, on_both_databases};
use tokio::task::JoinSet;

on_both_databases!(beyond_the_queue_requests_are_refused_and_what_is_accepted_is_stored);

/// A refusal needs no work, so it must not wait for any.
const REFUSAL_MAX: Duration = Duration::from_secs(2);

async fn beyond_the_queue_requests_are_refused_and_what_is_accepted_is_stored(kind: Kind) {
    const CLIENTS: usize = 200;
    let world = World::new(kind)
        .set("API_COMMIT_QUEUE_MAX", 2)
        .set("API_COMMIT_BATCH_MAX", 2);
    let node = world.start_node().await;
    let mut sends = JoinSet::new();
    for number in 0..CLIENTS {
        let (client, url) = (node.client.clone(), node.url.clone());
        sends.spawn(async move {
            let mut offer = Offer::new("crowd", number);
            let watch = Stopwatch::start();
            let answer = offer.make(&client, &url).await.unwrap();
            if answer.status == 503 {
                assert_eq!(answer.header("retry-after"), Some("1"));
                assert_eq!(answer.expect_problem(503), "overloaded");
                assert!(
                    watch.elapsed() < REFUSAL_MAX,
                    "a refusal took {:?}",
                    watch.elapsed()
                );
            } else {
                answer.expect(202);
            }
            offer
        });
    }
    let mut offers = sends.join_all().await;
    let accepted = offers.iter().filter(|offer| offer.accepted.is_some()).count();
    println!("overload on {kind:?}: {accepted} of {CLIENTS} accepted at once");
    assert!(accepted > 0, "every request was refused");
    assert!(accepted < CLIENTS, "no request was refused");
    assert_eq!(
        world.count("messages").await,
        accepted,
        "a refused message is not stored"
    );
    // The same messages, with the same keys, go through now.
    for offer in offers.iter_mut().filter(|offer| offer.accepted.is_none()) {
        offer.make(&node.client, &node.url).await.unwrap().expect(202);
    }
    let summary = world.audit_final(&offers).await;
    assert_eq!((summary.stored, summary.sent_again), (CLIENTS, 0), "{summary}");
}
