use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::Method;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::MissedTickBehavior};

use super::{
    client::{Answer, Client, text},
    contents::Id,
    node::Node,
    wait::{SOON, Stopwatch, until},
};

/// Few enough that clients meet in the same conversations all the time.
const PAIRS: usize = 12;

/// Where load goes; a restarted node has a new address.
#[derive(Clone)]
pub(crate) struct Targets(Arc<RwLock<Vec<String>>>);

/// How much load there is.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) clients: usize,
    /// How often each of them sends, unless it waits for its last answer.
    pub(crate) every: Duration,
}

/// One message a client has, however often it asks to have it accepted. No other has its body.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) channel: &'static str,
    pub(crate) inbound: bool,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) body: String,
    /// What makes it repeatable: an idempotency key, or the provider's id of an inbound message.
    pub(crate) key: Option<String>,
    /// Its id and conversation, as the first 202 had them.
    pub(crate) accepted: Option<(Id, String)>,
    /// Whether it may be stored: some answer said so, left it open, or did not come.
    pub(crate) may_be_stored: bool,
}

/// What a load came to.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) offers: Vec<Offer>,
    /// Answers 503.
    pub(crate) refused: usize,
    /// Requests whose connection died.
    pub(crate) unanswered: usize,
    /// The longest that anybody waited for an answer.
    pub(crate) slowest: Duration,
}

/// Clients that send without a pause, until told to stop.
pub(crate) struct Load {
    progress: Arc<Progress>,
    clients: JoinSet<Report>,
}

#[derive(Default)]
struct Progress {
    accepted: AtomicUsize,
    stopped: AtomicBool,
}

impl Targets {
    pub(crate) fn of<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Self {
        let urls = nodes.into_iter().map(|node| node.url.clone()).collect();
        Self(Arc::new(RwLock::new(urls)))
    }

    /// The node in this place has been replaced.
    pub(crate) fn replace(&self, place: usize, node: &Node) {
        self.0.write().unwrap_or_else(PoisonError::into_inner)[place].clone_from(&node.url);
    }

    fn pick(&self, turn: usize) -> String {
        let urls = self.0.read().unwrap_or_else(PoisonError::into_inner);
        urls[turn % urls.len()].clone()
    }
}

impl Offer {
    /// The `number`-th message of a client: every channel, both directions, with key and without, now and in the past.
    pub(crate) fn new(client: &str, number: usize) -> Self {
        let channel = ["sms", "sms", "mms", "email", "sms"][number % 5];
        let inbound = number % 7 == 3;
        let pair = (number * 5 + client.len()) % PAIRS;
        let (mut from, mut to) = match channel {
            "email" => (
                format!("desk{pair}@example.org"),
                format!("guest{pair}@example.com"),
            ),
            _ => (format!("+1201666{pair:04}"), format!("+1804555{pair:04}")),
        };
        if number % 4 == 1 {
            std::mem::swap(&mut from, &mut to);
        }
        let key = (inbound || number.is_multiple_of(2)).then(|| format!("key-{client}-{number}"));
        Self {
            channel,
            inbound,
            from,
            to,
            body: format!("message {number} of {client}"),
            key,
            accepted: None,
            may_be_stored: false,
        }
    }

    /// Asks a node once to take the message. A 202 is remembered, and must be the same every time.
    pub(crate) async fn make(&mut self, client: &Client, url: &str) -> Result<Answer, String> {
        let path = if self.inbound {
            "/api/provider/mock/inbound"
        } else {
            "/api/messages"
        };
        let header = self.key.as_deref().filter(|_| !self.inbound);
        let headers: Vec<(&str, &str)> = header.map(|key| ("idempotency-key", key)).into_iter().collect();
        let request = self.request();
        let answer = client
            .ask(Method::POST, &format!("{url}{path}"), &headers, Some(&request))
            .await
            .inspect_err(|_| self.may_be_stored = true)?;
        self.may_be_stored |= answer.status == 202 || answer.json()["code"] == "outcome_unknown";
        if answer.status == 202 {
            let json = answer.json();
            let accepted = (Id::of(&text(&json["id"])), text(&json["conversation_id"]));
            let first = self.accepted.get_or_insert_with(|| accepted.clone());
            assert_eq!(*first, accepted, "{} got two ids", self.body);
        }
        Ok(answer)
    }

    fn request(&self) -> Value {
        let mut request =
            json!({"channel": self.channel, "from": self.from, "to": self.to, "body": self.body});
        if self.channel == "mms" {
            request["attachments"] = json!(["https://example.org/picture.png"]);
        }
        if self.body.len().is_multiple_of(2) {
            request["timestamp"] = json!(format!("2026-01-01T00:{:02}:00Z", self.body.len()));
        }
        if self.inbound {
            request["provider_message_id"] = json!(self.key);
        }
        request
    }
}

impl Load {
    pub(crate) fn start(targets: &Targets, pace: Pace) -> Self {
        let progress = Arc::new(Progress::default());
        let mut clients = JoinSet::new();
        for number in 0..pace.clients {
            // Names of different lengths, so that clients are in step with none of the others.
            let name = format!("client{}", "x".repeat(number));
            clients.spawn(run(name, targets.clone(), pace.every, Arc::clone(&progress)));
        }
        Self { progress, clients }
    }

    /// Waits until so many more messages have been accepted.
    pub(crate) async fn until_accepted(&self, more: usize) {
        let accepted = || self.progress.accepted.load(Ordering::Relaxed);
        let goal = accepted() + more;
        until("messages are accepted", SOON, async || {
            (accepted() >= goal).then_some(())
        })
        .await;
    }

    /// Lets the clients finish what they are at, and says what it came to.
    pub(crate) async fn stop(mut self) -> Report {
        self.progress.stopped.store(true, Ordering::Relaxed);
        let mut total = Report::default();
        while let Some(report) = self.clients.join_next().await {
            let report = report.unwrap();
            total.offers.extend(report.offers);
            total.refused += report.refused;
            total.unanswered += report.unanswered;
            total.slowest = total.slowest.max(report.slowest);
        }
        total
    }
}

/// One client. What it can repeat it repeats until it is accepted, now and then once more; the rest it offers once.
async fn run(name: String, targets: Targets, every: Duration, progress: Arc<Progress>) -> Report {
    let client = Client::new();
    let mut report = Report::default();
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopped = || progress.stopped.load(Ordering::Relaxed);
    let (mut turn, mut number) = (name.len(), 0);
    while !stopped() {
        let mut offer = Offer::new(&name, number);
        number += 1;
        let mut repeats = usize::from(offer.key.is_some() && number.is_multiple_of(3));
        loop {
            ticks.tick().await;
            turn += 1;
            let watch = Stopwatch::start();
            let answer = offer.make(&client, &targets.pick(turn)).await;
            report.slowest = report.slowest.max(watch.elapsed());
            match answer {
                Ok(answer) if answer.status == 503 => {
                    assert!(
                        answer.header("retry-after").is_some(),
                        "a 503 says when to come back"
                    );
                    report.refused += 1;
                }
                Ok(answer) => drop(answer.expect(202)),
                Err(_) => report.unanswered += 1,
            }
            if offer.accepted.is_some() {
                if repeats == 0 || stopped() {
                    progress.accepted.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                repeats -= 1;
            } else if offer.key.is_none() || stopped() {
                break;
            }
        }
        report.offers.push(offer);
    }
    report
}
