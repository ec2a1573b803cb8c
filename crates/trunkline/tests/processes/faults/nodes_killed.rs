use std::time::Duration;

use super::storm::{ANSWER_MAX, Fault, Strike, storm};
use crate::world::Pace;

const PACE: Pace = Pace {
    clients: 8,
    every: Duration::from_millis(10),
    timeout: ANSWER_MAX,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_of_two_nodes_lose_nothing() {
    const KILLS: usize = 10;
    let kill = |number| Strike {
        after: 150,
        fault: Fault::KillNode(number % 2),
        meanwhile: None,
    };
    let aftermath = storm(PACE, |world| world, (0..KILLS).map(kill)).await;
    let summary = aftermath.unbroken();
    let unanswered = aftermath.load.unanswered();
    println!("{KILLS} kills of two nodes: {summary}; {unanswered} requests cut off");
    assert_eq!(summary.failed, 0, "{summary}");
    assert!(summary.ambiguous > 0 && unanswered > 0, "the kills hit nothing");
}
