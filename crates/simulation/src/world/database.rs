//! The database behind all nodes: the reference model on an unreliable network. A transaction continues if its node dies.

use std::{sync::Arc, time::Duration};

use domain::{Clock, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use store::{Outage, StoreError};
use store_model::Memory;
use tokio::sync::{Mutex as FairMutex, oneshot};

use super::time::{DatabaseClock, Time};
use crate::{
    checkers::Observer,
    draw::Draw,
    plan::{Statement, StoreFailure},
};

/// How long a node waits for an answer of the database.
const PATIENCE: Duration = Duration::from_millis(1_200);
/// How long a commit may linger after its node gave up.
const LATE_MAX_MS: u64 = 8_000;
/// A slow link carries bytes in portions of this duration, so that transactions share it.
const PORTION: Duration = Duration::from_millis(20);

pub(crate) struct Database {
    pub(crate) memory: Memory,
    pub(crate) observer: Arc<Observer>,
    clock: Arc<DatabaseClock>,
    time: Time,
    draw: Draw,
    trip_max: Duration,
    weather: Mutex<Weather>,
    link: Option<Link>,
}

/// The network to the database, shared by all nodes.
struct Link {
    bytes_per_second: u64,
    there: FairMutex<()>,
    back: FairMutex<()>,
}

/// What a transaction is for.
#[derive(Clone, Copy)]
pub(crate) struct Errand {
    kind: Kind,
    statement: Option<Statement>,
    /// The message bytes it sends. Everything else is small.
    bytes: usize,
}

impl Errand {
    pub(crate) const READ: Self = Self {
        kind: Kind::Read,
        statement: Some(Statement::Read),
        bytes: 0,
    };
    pub(crate) const WRITE: Self = Self {
        kind: Kind::Write,
        statement: None,
        bytes: 0,
    };
    pub(crate) const CLAIM: Self = Self::WRITE.of(Statement::Claim);
    pub(crate) const SETTLE: Self = Self::WRITE.of(Statement::Settle);

    pub(crate) const fn accept(bytes: usize) -> Self {
        Self {
            bytes,
            ..Self::WRITE.of(Statement::Accept)
        }
    }

    const fn of(self, statement: Statement) -> Self {
        Self {
            statement: Some(statement),
            ..self
        }
    }
}

/// The current troubles.
#[derive(Default)]
struct Weather {
    away_until: Duration,
    hanging: bool,
    slow_until: Duration,
    slow_up_to: Duration,
    flaky_until: Duration,
    flaky_permille: u32,
    failing: Vec<Failing>,
    /// When the last trouble that has begun so far ends.
    troubled_until: Duration,
    /// Counts outages; each breaks all connections.
    outages: u64,
}

/// A kind of statement that fails.
#[derive(Clone, Copy)]
struct Failing {
    statement: Statement,
    failure: StoreFailure,
    permille: u32,
    until: Duration,
}

/// What a lost answer means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing was lost.
    Read,
    /// It may have happened.
    Write,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    /// The connection breaks, and nothing happens.
    Lost,
    /// It happens, and the connection breaks before the answer.
    AnswerLost,
    /// The connection breaks, and it happens later.
    Late,
}

impl Database {
    pub(crate) fn new(
        time: Time,
        observer: Arc<Observer>,
        draw: Draw,
        trip_max: Duration,
        bytes_per_second: Option<u64>,
    ) -> Self {
        let clock = Arc::new(DatabaseClock(time));
        Self {
            memory: Memory::new(clock.clone()),
            observer,
            clock,
            time,
            draw,
            trip_max,
            weather: Mutex::default(),
            link: bytes_per_second.map(|bytes_per_second| Link {
                bytes_per_second,
                there: FairMutex::default(),
                back: FairMutex::default(),
            }),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn go_away(&self, lasting: Duration, hanging: bool) {
        let until = self.time.elapsed() + lasting;
        let mut weather = self.weather();
        weather.away_until = weather.away_until.max(until);
        weather.troubled_until = weather.troubled_until.max(until);
        weather.hanging = hanging;
        weather.outages += 1;
    }

    pub(crate) fn slow_down(&self, lasting: Duration, up_to: Duration) {
        let until = self.time.elapsed() + lasting;
        let mut weather = self.weather();
        (weather.slow_until, weather.slow_up_to) = (until, up_to);
        weather.troubled_until = weather.troubled_until.max(until);
    }

    pub(crate) fn break_connections(&self, lasting: Duration, permille: u32) {
        let until = self.time.elapsed() + lasting;
        let mut weather = self.weather();
        (weather.flaky_until, weather.flaky_permille) = (until, permille);
        weather.troubled_until = weather.troubled_until.max(until);
    }

    pub(crate) fn fail(&self, statement: Statement, failure: StoreFailure, permille: u32, lasting: Duration) {
        let until = self.time.elapsed() + lasting;
        let mut weather = self.weather();
        weather.failing.push(Failing {
            statement,
            failure,
            permille,
            until,
        });
        weather.troubled_until = weather.troubled_until.max(until);
    }

    /// Whether there was no trouble since then. A slow link is not trouble.
    pub(crate) fn well_since(&self, then: Duration) -> bool {
        self.weather().troubled_until <= then
    }

    /// Ends all trouble.
    pub(crate) fn heal(&self) {
        let mut weather = self.weather();
        *weather = Weather {
            outages: weather.outages,
            troubled_until: weather.troubled_until.min(self.time.elapsed()),
            ..Weather::default()
        };
    }

    /// Runs a transaction for a node, and returns its answer if the network delivers it.
    pub(crate) async fn transact<T: Send + 'static>(
        self: &Arc<Self>,
        errand: Errand,
        transaction: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.transact_for(errand, |_| 0, transaction).await
    }

    /// The same, with an answer of so many message bytes.
    pub(crate) async fn transact_for<T: Send + 'static>(
        self: &Arc<Self>,
        errand: Errand,
        bytes: fn(&T) -> usize,
        transaction: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        tokio::spawn(Arc::clone(self).perform(errand, bytes, transaction, reply));
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(no_answer(errand.kind)),
        }
    }

    async fn perform<T>(
        self: Arc<Self>,
        Errand {
            kind,
            statement,
            bytes: request_bytes,
        }: Errand,
        bytes: fn(&T) -> usize,
        transaction: impl FnOnce(&Self) -> Result<T, StoreError>,
        mut reply: oneshot::Sender<Result<T, StoreError>>,
    ) {
        let fate = self.fate();
        self.trip().await;
        if let Some(hanging) = self.is_away() {
            if hanging {
                tokio::time::sleep(PATIENCE - Duration::from_millis(200)).await;
            }
            let _ = reply.send(Err(StoreError::unavailable(Outage::Away, "away")));
            return;
        }
        match statement.and_then(|statement| self.failure_of(statement)) {
            None => {}
            Some(StoreFailure::Unavailable) => {
                let _ = reply.send(Err(StoreError::unavailable(Outage::Away, "failing")));
                return;
            }
            Some(StoreFailure::Refused) => {
                let _ = reply.send(Err(StoreError::Refused("not allowed now".to_owned())));
                return;
            }
            Some(StoreFailure::OutcomeUnknown) => {
                if self.draw.permille(500) {
                    let _ = transaction(&self);
                }
                let _ = reply.send(Err(no_answer(kind)));
                return;
            }
        }
        if let Some(link) = &self.link
            && link.carry(&link.there, request_bytes, &mut reply).await.is_err()
        {
            // The node gave up before all of it arrived.
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
                if let (Some(link), Ok(answer)) = (&self.link, &result)
                    && link.carry(&link.back, bytes(answer), &mut reply).await.is_err()
                {
                    return;
                }
                self.trip().await;
                let broken = fate == Fate::AnswerLost || self.weather().outages > outages;
                let _ = reply.send(if broken { Err(no_answer(kind)) } else { result });
            }
        }
    }

    fn failure_of(&self, statement: Statement) -> Option<StoreFailure> {
        let now = self.time.elapsed();
        let mut weather = self.weather();
        weather.failing.retain(|failing| now < failing.until);
        let failing = weather
            .failing
            .iter()
            .find(|failing| failing.statement == statement)?;
        self.draw.permille(failing.permille).then_some(failing.failure)
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
        self.weather.lock()
    }
}

impl Link {
    /// Takes as long as the link needs for so many bytes; an error if the node gives up meanwhile. The mutex is fair, so
    /// transactions take turns.
    async fn carry<T>(
        &self,
        direction: &FairMutex<()>,
        mut bytes: usize,
        reply: &mut oneshot::Sender<T>,
    ) -> Result<(), ()> {
        let portion = ((self.bytes_per_second as f64 * PORTION.as_secs_f64()) as usize).max(1);
        while bytes > 0 {
            let now = bytes.min(portion);
            let turn = direction.lock().await;
            tokio::time::sleep(PORTION * now as u32 / portion as u32).await;
            drop(turn);
            bytes -= now;
            if reply.is_closed() {
                return Err(());
            }
        }
        Ok(())
    }
}

fn no_answer(kind: Kind) -> StoreError {
    let reason = "the connection broke".to_owned();
    match kind {
        Kind::Read => StoreError::unavailable(Outage::Away, reason),
        Kind::Write => StoreError::OutcomeUnknown(reason),
    }
}
