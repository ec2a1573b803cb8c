//! The database behind all nodes: the reference model, on a network that loses things. What it was asked goes on when the
//! node that asked is gone.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{Clock, Timestamp};
use store::{Memory, StoreError};
use tokio::sync::oneshot;

use super::time::{DatabaseClock, Time};
use crate::{checkers::Observer, draw::Draw};

/// How long a node waits for an answer of the database.
const PATIENCE: Duration = Duration::from_millis(1_200);
/// How long a commit may linger that nobody waits for any more.
const LATE_MAX_MS: u64 = 8_000;

pub(crate) struct Database {
    pub(crate) memory: Memory,
    pub(crate) observer: Arc<Observer>,
    clock: Arc<DatabaseClock>,
    time: Time,
    draw: Draw,
    trip_max: Duration,
    weather: Mutex<Weather>,
}

/// What goes wrong at the moment.
#[derive(Default)]
struct Weather {
    away_until: Duration,
    hanging: bool,
    slow_until: Duration,
    slow_up_to: Duration,
    flaky_until: Duration,
    flaky_permille: u32,
    /// Every outage breaks all connections.
    outages: u64,
}

/// What a transaction is to the one who waits for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Without an answer, nothing is lost.
    Read,
    /// Without an answer, it may have happened.
    Write,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    /// The connection breaks, and nothing happened.
    Lost,
    /// It happened, and the connection broke before the answer.
    AnswerLost,
    /// The connection breaks, and it happens after all, later.
    Late,
}

impl Database {
    pub(crate) fn new(time: Time, observer: Arc<Observer>, draw: Draw, trip_max: Duration) -> Self {
        let clock = Arc::new(DatabaseClock(time));
        Self {
            memory: Memory::new(clock.clone()),
            observer,
            clock,
            time,
            draw,
            trip_max,
            weather: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn go_away(&self, lasting: Duration, hanging: bool) {
        let until = self.time.elapsed() + lasting;
        let mut weather = self.weather();
        weather.away_until = weather.away_until.max(until);
        weather.hanging = hanging;
        weather.outages += 1;
    }

    pub(crate) fn slow_down(&self, lasting: Duration, up_to: Duration) {
        let until = self.time.elapsed() + lasting;
        let mut weather = self.weather();
        (weather.slow_until, weather.slow_up_to) = (until, up_to);
    }

    pub(crate) fn break_connections(&self, lasting: Duration, permille: u32) {
        let until = self.time.elapsed() + lasting;
        let mut weather = self.weather();
        (weather.flaky_until, weather.flaky_permille) = (until, permille);
    }

    /// All is well from now on.
    pub(crate) fn heal(&self) {
        let outages = self.weather().outages;
        *self.weather() = Weather {
            outages,
            ..Weather::default()
        };
    }

    /// Runs a transaction on behalf of a node, and answers if the network lets it.
    pub(crate) async fn transact<T: Send + 'static>(
        self: &Arc<Self>,
        kind: Kind,
        transaction: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        tokio::spawn(Arc::clone(self).perform(kind, transaction, reply));
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(no_answer(kind)),
        }
    }

    async fn perform<T>(
        self: Arc<Self>,
        kind: Kind,
        transaction: impl FnOnce(&Self) -> Result<T, StoreError>,
        reply: oneshot::Sender<Result<T, StoreError>>,
    ) {
        let fate = self.fate();
        self.trip().await;
        if let Some(hanging) = self.is_away() {
            if hanging {
                tokio::time::sleep(PATIENCE - Duration::from_millis(200)).await;
            }
            let _ = reply.send(Err(StoreError::Unavailable("away".to_owned())));
            return;
        }
        let slow = self.slowness();
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        let outages = self.weather().outages;
        match fate {
            Fate::Lost => {
                let _ = reply.send(Err(no_answer(kind)));
            }
            Fate::Late => {
                let _ = reply.send(Err(no_answer(kind)));
                tokio::time::sleep(self.draw.millis(0, LATE_MAX_MS)).await;
                let _ = transaction(&self);
            }
            Fate::Fine | Fate::AnswerLost => {
                let result = transaction(&self);
                self.trip().await;
                let broken = fate == Fate::AnswerLost || self.weather().outages > outages;
                let _ = reply.send(if broken { Err(no_answer(kind)) } else { result });
            }
        }
    }

    fn fate(&self) -> Fate {
        let weather = self.weather();
        if self.time.elapsed() < weather.flaky_until && self.draw.permille(weather.flaky_permille) {
            return self.draw.pick(&[Fate::Lost, Fate::AnswerLost, Fate::Late]);
        }
        Fate::Fine
    }

    async fn trip(&self) {
        let trip = self.draw.millis(0, self.trip_max.as_millis() as u64);
        if !trip.is_zero() {
            tokio::time::sleep(trip).await;
        }
    }

    fn is_away(&self) -> Option<bool> {
        let weather = self.weather();
        (self.time.elapsed() < weather.away_until).then_some(weather.hanging)
    }

    fn slowness(&self) -> Duration {
        let weather = self.weather();
        if self.time.elapsed() < weather.slow_until {
            self.draw.millis(0, weather.slow_up_to.as_millis() as u64)
        } else {
            Duration::ZERO
        }
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_answer(kind: Kind) -> StoreError {
    let reason = "the connection broke".to_owned();
    match kind {
        Kind::Read => StoreError::Unavailable(reason),
        Kind::Write => StoreError::OutcomeUnknown(reason),
    }
}
