use std::time::Duration;

use throwaway_postgres::Cluster;
use tokio::task::block_in_place;

use super::storm::{
    ANSWER_MAX, Fault, RECOVERY_MAX, Strike, alive_and_not_ready, all_refused, storm, until_accepted,
};
use crate::world::{Offer, Pace, SOON, Stopwatch, World};

const PACE: Pace = Pace {
    clients: 8,
    every: Duration::from_millis(10),
    timeout: ANSWER_MAX,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_crashes_of_postgres_lose_nothing_and_every_request_is_answered() {
    const CRASHES: usize = 5;
    let crash = Strike {
        after: 150,
        fault: Fault::CrashDatabase,
        meanwhile: None,
    };
    let aftermath = storm(PACE, |world| world, [crash; CRASHES]).await;
    let summary = aftermath.unbroken();
    let (load, diary) = (&aftermath.load, &aftermath.diary);
    let (_, slowest_recovery) = diary.faults[Fault::CrashDatabase.name()];
    println!(
        "{CRASHES} crashes of PostgreSQL: {summary}; refused {:?}, the slowest refusal after {:?}, under load {:?}; back \
         after {slowest_recovery:?} at most",
        load.refusals, diary.slowest_refusal, load.slowest
    );
    assert!(load.slowest <= ANSWER_MAX, "a client waited {:?}", load.slowest);
    assert_eq!(load.unanswered(), 0, "nodes stay up");
    assert_eq!(summary.failed, 0, "{summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_postgres_loses_nothing_and_every_request_is_answered() {
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
        let sends = (0..SENDS).map(|number| Offer::new(&format!("during{round}"), number));
        let (refused, took) = all_refused(&node, sends).await;
        offers.extend(refused);
        slowest = slowest.max(took);
        alive_and_not_ready(&node).await;
    }
    block_in_place(|| cluster.resume());
    let watch = Stopwatch::start();
    let mut first = Offer::new("after", 0);
    until_accepted(&node, &mut first, RECOVERY_MAX).await;
    println!(
        "frozen PostgreSQL: the slowest refusal after {slowest:?}, back after {:?}",
        watch.elapsed()
    );
    offers.push(first);
    // A request with an unknown outcome may be stored or not; repeated with its key, it is stored once.
    for offer in offers.iter_mut().filter(|offer| offer.key.is_some()) {
        offer.make(&node.client, &node.url).await.unwrap().expect(202);
    }
    world.audit_final(&offers).await;
}
