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

#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) clients: usize,
    /// Pause between two requests of a client, unless the last answer takes longer.
    pub(crate) every: Duration,
    /// How long a client waits for an answer. Only a frozen node may take that long.
    pub(crate) timeout: Duration,
}

/// The results of a load.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) offers: Vec<Offer>,
    /// Latencies of all 202s, repeats included.
    pub(crate) acknowledgements: Vec<Duration>,
    /// Answers other than 202, by status and code.
    pub(crate) refusals: BTreeMap<(u16, String), usize>,
    /// Requests that found no node.
    pub(crate) not_connected: usize,
    /// Requests whose connection died.
    pub(crate) cut_off: usize,
    /// Requests without an answer in time.
    pub(crate) given_up: usize,
    /// The longest wait for an answer of a node that was not frozen.
    pub(crate) slowest: Duration,
}

/// Clients that send until stopped.
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
            // Names of different lengths, so that clients do not run in step.
            let name = format!("client{}", "x".repeat(number));
            clients.spawn(run(name, targets.clone(), pace, Arc::clone(&progress)));
        }
        Self { progress, clients }
    }

    /// Waits until so many more messages have been accepted.
    pub(crate) async fn until_accepted(&self, more: usize) {
        until_grown("messages are accepted", &self.progress.accepted, more).await;
    }

    /// Waits until another request got no answer in time.
    pub(crate) async fn until_given_up(&self) {
        until_grown("a client hangs up", &self.progress.given_up, 1).await;
    }

    /// No client sends until `resume`; requests under way continue.
    pub(crate) fn pause(&self) {
        self.progress.paused.store(true, Ordering::Relaxed);
    }

    pub(crate) fn resume(&self) {
        self.progress.paused.store(false, Ordering::Relaxed);
    }

    /// Stops after the requests under way.
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

/// One client. It repeats repeatable messages until they are accepted, and some of them once more; others it sends once.
async fn run(name: String, targets: Targets, pace: Pace, progress: Arc<Progress>) -> Report {
    let client = Client::new().with_timeout(pace.timeout);
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
