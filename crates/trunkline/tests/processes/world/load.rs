use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinSet, time::MissedTickBehavior};

use super::{
    client::{Answer, Client, NoAnswer},
    offer::Offer,
    targets::Targets,
    wait::{SOON, Stopwatch, until},
};

/// How much load there is.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) clients: usize,
    /// How often each of them sends, unless it waits for its last answer.
    pub(crate) every: Duration,
    /// How long each waits for an answer before it hangs up. A node that stands still may have it wait so long;
    /// nobody else.
    pub(crate) patience: Duration,
}

/// What a load came to.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) offers: Vec<Offer>,
    /// How long each 202 took, the repeated ones too.
    pub(crate) acknowledgements: Vec<Duration>,
    /// Answers other than 202, by status and code.
    pub(crate) refusals: BTreeMap<(u16, String), usize>,
    /// Requests that found no node.
    pub(crate) not_connected: usize,
    /// Requests whose connection died.
    pub(crate) cut_off: usize,
    /// Requests that a client waited for in vain.
    pub(crate) given_up: usize,
    /// The longest that anybody waited for an answer of a node that did not stand still.
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
    given_up: AtomicUsize,
    paused: AtomicBool,
    stopped: AtomicBool,
}

impl Report {
    /// Requests without an answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.not_connected + self.cut_off + self.given_up
    }

    fn add(&mut self, other: Self) {
        self.offers.extend(other.offers);
        self.acknowledgements.extend(other.acknowledgements);
        for (refusal, times) in other.refusals {
            *self.refusals.entry(refusal).or_default() += times;
        }
        self.not_connected += other.not_connected;
        self.cut_off += other.cut_off;
        self.given_up += other.given_up;
        self.slowest = self.slowest.max(other.slowest);
    }

    fn note(&mut self, answer: &Result<Answer, NoAnswer>, took: Duration, stood_still: bool) {
        match answer {
            Ok(answer) if answer.status == 202 => self.acknowledgements.push(took),
            Ok(answer) => *self.refusals.entry((answer.status, answer.code())).or_default() += 1,
            Err(NoAnswer::NotConnected(_)) => self.not_connected += 1,
            Err(NoAnswer::CutOff(_)) => self.cut_off += 1,
            Err(NoAnswer::TooLate(_)) => self.given_up += 1,
        }
        if !stood_still {
            self.slowest = self.slowest.max(took);
        }
    }
}

impl Load {
    pub(crate) fn start(targets: &Targets, pace: Pace) -> Self {
        let progress = Arc::new(Progress::default());
        let mut clients = JoinSet::new();
        for number in 0..pace.clients {
            // Names of different lengths, so that clients are in step with none of the others.
            let name = format!("client{}", "x".repeat(number));
            clients.spawn(run(name, targets.clone(), pace, Arc::clone(&progress)));
        }
        Self { progress, clients }
    }

    /// Waits until so many more messages have been accepted.
    pub(crate) async fn until_accepted(&self, more: usize) {
        until_grown("messages are accepted", &self.progress.accepted, more).await;
    }

    /// Waits until another client has waited for an answer in vain.
    pub(crate) async fn until_given_up(&self) {
        until_grown("a client hangs up", &self.progress.given_up, 1).await;
    }

    /// Lets no client ask again until it is resumed; what they have asked goes on.
    pub(crate) fn pause(&self) {
        self.progress.paused.store(true, Ordering::Relaxed);
    }

    pub(crate) fn resume(&self) {
        self.progress.paused.store(false, Ordering::Relaxed);
    }

    /// Lets the clients finish what they are at, and says what it came to.
    pub(crate) async fn stop(mut self) -> Report {
        self.progress.stopped.store(true, Ordering::Relaxed);
        let mut total = Report::default();
        while let Some(report) = self.clients.join_next().await {
            total.add(report.unwrap());
        }
        total
    }
}

async fn until_grown(what: &str, counter: &AtomicUsize, more: usize) {
    let goal = counter.load(Ordering::Relaxed) + more;
    until(what, SOON, async || {
        (counter.load(Ordering::Relaxed) >= goal).then_some(())
    })
    .await;
}

/// One client. What it can repeat it repeats until it is accepted, now and then once more; the rest it offers once.
async fn run(name: String, targets: Targets, pace: Pace, progress: Arc<Progress>) -> Report {
    let client = Client::new().with_patience(pace.patience);
    let mut report = Report::default();
    let mut ticks = tokio::time::interval(pace.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopped = || progress.stopped.load(Ordering::Relaxed);
    let (mut turn, mut number) = (name.len(), 0);
    while !stopped() {
        let mut offer = Offer::new(&name, number);
        number += 1;
        let mut repeats = usize::from(offer.key.is_some() && number.is_multiple_of(3));
        loop {
            ticks.tick().await;
            while progress.paused.load(Ordering::Relaxed) && !stopped() {
                ticks.tick().await;
            }
            turn += 1;
            let target = targets.pick(turn);
            let watch = Stopwatch::start();
            let answer = offer.make(&client, &target.url).await;
            let stood_still = targets.stood_still(&target);
            report.note(&answer, watch.elapsed(), stood_still);
            if let Err(error @ NoAnswer::TooLate(_)) = &answer {
                progress.given_up.fetch_add(1, Ordering::Relaxed);
                if !stood_still {
                    offer.surprises.push(error.to_string());
                }
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
