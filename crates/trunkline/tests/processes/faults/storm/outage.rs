//! While the database is away, nodes refuse in time; when it is back, they accept.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::world::{Client, Node, Offer, Stopwatch, until};

/// The promise is two seconds. A busy machine may add some.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(4);
/// The promise is two seconds here too.
pub(crate) const RECOVERY_MAX: Duration = Duration::from_secs(6);

/// Sends while the database is away: an answer in time, a 503 that says when to come back.
pub(crate) async fn refused(client: &Client, url: &str, mut offer: Offer) -> (Offer, Duration) {
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

/// All of these concurrently. Returns the slowest answer's time.
pub(crate) async fn all_refused(node: &Node, offers: impl Iterator<Item = Offer>) -> (Vec<Offer>, Duration) {
    let mut sends = JoinSet::new();
    for offer in offers {
        let (client, url) = (node.client.clone(), node.url.clone());
        sends.spawn(async move { refused(&client, &url, offer).await });
    }
    let (offers, took): (Vec<Offer>, Vec<Duration>) = sends.join_all().await.into_iter().unzip();
    (offers, took.into_iter().max().unwrap_or_default())
}

pub(crate) async fn alive_and_not_ready(node: &Node) {
    node.get("/healthz").await.expect(200);
    tokio::join!(not_ready(node), unavailable(node, "/api/conversations"));
}

/// `/readyz` is 503.
pub(crate) async fn not_ready(node: &Node) {
    unavailable(node, "/readyz").await;
}

async fn unavailable(node: &Node, path: &str) {
    let watch = Stopwatch::start();
    assert_eq!(node.get(path).await.expect_problem(503), "store_unavailable");
    assert!(watch.elapsed() <= ANSWER_MAX, "{path} took {:?}", watch.elapsed());
}

/// Repeats the requests with an unknown outcome that have a key: each is stored once.
pub(crate) async fn repeat_ambiguous(node: &Node, offers: &mut [Offer]) {
    let ambiguous =
        |offer: &&mut Offer| offer.key.is_some() && offer.may_be_stored && offer.accepted.is_none();
    for offer in offers.iter_mut().filter(ambiguous) {
        until_accepted(node, offer, RECOVERY_MAX).await;
    }
}

/// Repeats the request until the node accepts it, within `bound`. It must be repeatable: an earlier one may be stored.
pub(crate) async fn until_accepted(node: &Node, offer: &mut Offer, bound: Duration) {
    assert!(offer.key.is_some(), "{offer:?} cannot be repeated");
    until("sends are accepted again", bound, async || {
        let answer = offer.make(&node.client, &node.url).await.unwrap();
        assert!([202, 503].contains(&answer.status), "{}", answer.status);
        (answer.status == 202).then_some(())
    })
    .await;
}
