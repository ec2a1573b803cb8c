//! Watches nodes during faults, for what must hold at every moment.
//!
//! `/readyz` and sends agree; a message agrees with its attempts; no node has more connections to PostgreSQL than
//! documented.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::Method;
use serde_json::Value;
use tokio::{task::JoinSet, time::MissedTickBehavior};

use crate::world::{Answer, Client, Offer, Stopwatch, Targets, backends_by_role, text};

/// How long `/readyz` and sends may disagree, one following the other: the promise is two seconds. A busy machine may
/// add some.
const READY_LAG_MAX: Duration = Duration::from_secs(5);
/// As docs/operations.md says.
const BACKENDS_PER_NODE_MAX: usize = 20;
/// How often a node is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often a message is read while it is on its way, without a pause: torn reads are rare.
const READS_MAX: usize = 20;
/// Longer than any answer may take; other tests measure that.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Violations that are kept.
const BROKEN_MAX: usize = 10;

/// Watches the nodes in some places until it is stopped.
pub(super) struct Watch {
    shared: Arc<Shared>,
    nodes: JoinSet<Vec<Offer>>,
    backends: JoinSet<()>,
}

struct Shared {
    targets: Targets,
    /// Where PostgreSQL is asked about its connections: the primary moves.
    database: Mutex<String>,
    seen: Mutex<Seen>,
    stopped: AtomicBool,
}

/// What a watch saw.
#[derive(Default)]
pub(super) struct Seen {
    /// The messages it sent itself.
    pub(super) offers: Vec<Offer>,
    /// Times `/readyz` and a send were compared, and the longest they went on to disagree.
    pub(super) compared: usize,
    pub(super) longest_disagreement: Duration,
    /// Messages read while they were on their way.
    pub(super) reads: usize,
    /// The most connections one node had.
    pub(super) backends_max: usize,
    /// Violations, in words.
    pub(super) broken: Vec<String>,
}

impl Seen {
    fn note(&mut self, broken: String) {
        if self.broken.len() < BROKEN_MAX {
            self.broken.push(broken);
        }
    }
}

impl Watch {
    /// `database` is a URL with the right to see all connections.
    pub(super) fn start(targets: &Targets, places: usize, database: &str) -> Self {
        let shared = Arc::new(Shared {
            targets: targets.clone(),
            database: Mutex::new(database.to_owned()),
            seen: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let mut nodes = JoinSet::new();
        for place in 0..places {
            nodes.spawn(watch_node(place, Arc::clone(&shared)));
        }
        let mut backends = JoinSet::new();
        backends.spawn(watch_backends(Arc::clone(&shared)));
        Self {
            shared,
            nodes,
            backends,
        }
    }

    /// The database is at another URL now.
    pub(super) fn moved_to(&self, database: &str) {
        *lock(&self.shared.database) = database.to_owned();
    }

    pub(super) async fn stop(self) -> Seen {
        self.shared.stopped.store(true, Ordering::Relaxed);
        let offers = self.nodes.join_all().await;
        self.backends.join_all().await;
        let mut seen = std::mem::take(&mut *lock(&self.shared.seen));
        seen.offers.extend(offers.into_iter().flatten());
        seen
    }
}

impl Shared {
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn note(&self, broken: String) {
        lock(&self.seen).note(broken);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn watch_node(place: usize, shared: Arc<Shared>) -> Vec<Offer> {
    let client = Client::new().with_timeout(TIMEOUT);
    let mut offers = Vec::new();
    let mut disagree_since: Option<Stopwatch> = None;
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !shared.is_stopped() {
        ticks.tick().await;
        let Some(target) = shared.targets.target_in(place) else {
            disagree_since = None;
            continue;
        };
        let mut offer = Offer::new("watch", 0);
        offer.body = format!("watch {} of place {place}", offers.len());
        offer.key = Some(offer.body.replace(' ', "-"));
        let readyz = format!("{}/readyz", target.url);
        let (ready, sent) = tokio::join!(
            client.ask(Method::GET, &readyz, &[], None),
            offer.make(&client, &target.url)
        );
        let accepted = sent.as_ref().ok().filter(|answer| answer.status == 202);
        let accepted = accepted.map(|answer| text(&answer.json()["id"]));
        offers.push(offer);
        let answers = ready.ok().zip(sent.ok()).and_then(|(ready, sent)| {
            let says_ready = is_ready(&ready)?;
            let stores = is_stored(&sent)?;
            Some((says_ready, stores, ready, sent))
        });
        match answers {
            Some((says_ready, stores, ready, sent)) if !shared.targets.stood_still(&target) => {
                lock(&shared.seen).compared += 1;
                if says_ready == stores {
                    disagree_since = None;
                } else {
                    let since = disagree_since.get_or_insert_with(Stopwatch::start).elapsed();
                    let mut seen = lock(&shared.seen);
                    seen.longest_disagreement = seen.longest_disagreement.max(since);
                    if since > READY_LAG_MAX {
                        seen.note(format!(
                            "/readyz says {} {} and a send {} {}, for {since:?}",
                            ready.status,
                            ready.code(),
                            sent.status,
                            sent.code()
                        ));
                        disagree_since = None;
                    }
                }
            }
            // The node is gone, frozen, draining or overloaded: nothing can be compared.
            _ => disagree_since = None,
        }
        if let Some(id) = accepted {
            read_on_its_way(&client, &id, place, &shared).await;
        }
    }
    offers
}

/// Whether the node says that its store works; `None` for other answers, such as that it is stopping.
fn is_ready(answer: &Answer) -> Option<bool> {
    match (answer.status, answer.code().as_str()) {
        (200, _) => Some(true),
        (503, "store_unavailable") => Some(false),
        _ => None,
    }
}

fn is_stored(answer: &Answer) -> Option<bool> {
    match (answer.status, answer.code().as_str()) {
        (202, _) => Some(true),
        (503, "store_unavailable" | "outcome_unknown") => Some(false),
        _ => None,
    }
}

/// Reads a message, on all nodes in turn, while it is being dispatched.
async fn read_on_its_way(client: &Client, id: &str, place: usize, shared: &Shared) {
    for turn in 0..READS_MAX {
        let url = format!("{}/api/messages/{id}", shared.targets.pick(place + turn).url);
        let Ok(answer) = client.ask(Method::GET, &url, &[], None).await else {
            return;
        };
        match answer.status {
            200 => {}
            503 => return,
            status => return shared.note(format!("{status} for an accepted message: {url}")),
        }
        let message = answer.json();
        lock(&shared.seen).reads += 1;
        if let Some(wrong) = inconsistent(&message) {
            return shared.note(format!("{wrong}: {message}"));
        }
        if message["status"] != "pending" {
            return;
        }
    }
}

/// What in a message contradicts its attempts.
fn inconsistent(message: &Value) -> Option<&'static str> {
    let attempts = message["attempts"].as_array()?;
    let outcomes: Vec<&str> = attempts
        .iter()
        .map(|attempt| attempt["outcome"].as_str().unwrap_or_default())
        .collect();
    let successes = outcomes.iter().filter(|outcome| **outcome == "success").count();
    let numbered = attempts
        .iter()
        .zip(1..)
        .all(|(attempt, number)| attempt["attempt_number"] == number);
    // The node that sent it could not record that before its lease expired.
    let known_late = attempts
        .iter()
        .any(|attempt| attempt["late_outcome"] == "success");
    if !numbered {
        return Some("attempts with gaps");
    }
    match message["status"].as_str().unwrap_or_default() {
        "pending" if successes > 0 => Some("pending, with a success"),
        "dispatched" if successes != 1 && !(successes == 0 && known_late) => {
            Some("dispatched, without one success")
        }
        "failed" if successes > 0 || message["failure"].is_null() => {
            Some("failed, with a success or no reason")
        }
        "pending" | "dispatched" | "failed" => None,
        _ => Some("a status that no outbound message has"),
    }
}

async fn watch_backends(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !shared.is_stopped() {
        ticks.tick().await;
        let database = lock(&shared.database).clone();
        // While PostgreSQL is away, no node has connections to it.
        let backends: BTreeMap<String, usize> = backends_by_role(&database).await.unwrap_or_default();
        for (role, backends) in backends {
            let mut seen = lock(&shared.seen);
            seen.backends_max = seen.backends_max.max(backends);
            if backends > BACKENDS_PER_NODE_MAX {
                seen.note(format!("{role} has {backends} connections to PostgreSQL"));
            }
        }
    }
}

#[test]
fn a_torn_read_is_reported() {
    let message = |status: &str, outcomes: &[&str]| {
        let attempts: Vec<Value> = (1..)
            .zip(outcomes)
            .map(|(number, outcome)| serde_json::json!({"attempt_number": number, "outcome": outcome}))
            .collect();
        serde_json::json!({"status": status, "attempts": attempts, "failure": {"reason": "deadline"}})
    };
    for (status, outcomes, torn) in [
        ("pending", &["error"][..], false),
        ("pending", &["error", "success"], true),
        ("dispatched", &["unknown", "success"], false),
        ("dispatched", &["error"], true),
        ("dispatched", &[], true),
        ("failed", &["error"], false),
        ("failed", &["success"], true),
        ("received", &[], true),
    ] {
        assert_eq!(
            inconsistent(&message(status, outcomes)).is_some(),
            torn,
            "{status} {outcomes:?}"
        );
    }
    let mut gap = message("pending", &["error"]);
    gap["attempts"][0]["attempt_number"] = 2.into();
    assert!(inconsistent(&gap).is_some());
}
