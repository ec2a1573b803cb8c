use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::bail;
use domain::{Clock, SystemClock};
use tokio::{
    sync::Semaphore,
    task::{JoinSet, LocalSet},
};

use super::{
    connection::{Authority, Connection},
    request::{Requests, Shape},
    schedule::{Pace, latency},
    tally::Tally,
};

/// How long answers may be outstanding after the last request.
const STRAGGLERS_MAX: Duration = Duration::from_secs(60);
/// How late a request may be sent because of the interval between checks.
const DUE_EVERY: Duration = Duration::from_micros(500);

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Connections, and so the most requests at the same time.
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    /// How long requests are sent.
    pub(crate) lasts: Duration,
    pub(crate) shape: Shape,
}

/// Shared by the connections of a load, which are tasks of one thread.
struct Shared {
    authority: Authority,
    plan: Plan,
    clock: Arc<SystemClock>,
    /// Requests of an open loop that are due and not sent yet.
    due: Arc<Semaphore>,
    next: Cell<u64>,
    tally: RefCell<Tally>,
}

/// Puts a load on a server.
///
/// # Errors
/// When a connection cannot be opened, or answers are missing.
pub(crate) async fn drive(authority: &Authority, plan: &Plan) -> anyhow::Result<Tally> {
    let mut connections = Vec::with_capacity(plan.connections);
    for _ in 0..plan.connections {
        connections.push(Connection::open(authority).await?);
    }
    let shared = Rc::new(Shared {
        authority: authority.clone(),
        plan: plan.clone(),
        clock: Arc::new(SystemClock::new()),
        due: Arc::new(Semaphore::new(0)),
        next: Cell::new(0),
        tally: RefCell::new(Tally::new()),
    });
    if let Pace::Open { rate } = plan.pace {
        let (due, clock, plan) = (Arc::clone(&shared.due), Arc::clone(&shared.clock), plan.clone());
        thread::spawn(move || call(&due, rate, &clock, &plan));
    }
    let local = LocalSet::new();
    let mut senders = JoinSet::new();
    for connection in connections {
        senders.spawn_local_on(Rc::clone(&shared).send(connection), &local);
    }
    let all = local.run_until(async {
        while let Some(sender) = senders.join_next().await {
            sender?;
        }
        anyhow::Ok(())
    });
    match tokio::time::timeout(plan.lasts + STRAGGLERS_MAX, all).await {
        Ok(ended) => ended?,
        Err(_) => bail!(
            "answers did not come within {STRAGGLERS_MAX:?}: {}",
            shared.tally.borrow().line()
        ),
    }
    let mut tally = shared.tally.borrow().clone();
    tally.took = shared.clock.monotonic();
    Ok(tally)
}

/// Releases the requests of an open loop as they become due, and at the end one permit for each connection, which ends it.
#[allow(
    clippy::disallowed_methods,
    reason = "the runtime's timers fire up to two milliseconds late, which is as long as an answer takes"
)]
fn call(due: &Semaphore, rate: f64, clock: &SystemClock, plan: &Plan) {
    let mut called = 0;
    loop {
        let now = clock.monotonic();
        if now >= plan.lasts {
            break;
        }
        let calls = (now.as_secs_f64() * rate) as usize + 1;
        due.add_permits(calls - called);
        called = calls;
        thread::sleep(DUE_EVERY);
    }
    let all = (plan.lasts.as_secs_f64() * rate).ceil() as usize;
    due.add_permits(all.saturating_sub(called) + plan.connections);
}

impl Shared {
    /// Sends on one connection until time is up.
    async fn send(self: Rc<Self>, mut connection: Connection) {
        let mut requests = Requests::new(&self.authority, &self.plan.shape);
        loop {
            if let Pace::Open { .. } = self.plan.pace {
                self.due.acquire().await.expect("nobody closes it").forget();
            }
            let number = self.next.get();
            let due = self.plan.pace.due(number);
            if due.unwrap_or_else(|| self.clock.monotonic()) >= self.plan.lasts {
                return;
            }
            self.next.set(number + 1);
            let sent = self.clock.monotonic();
            let answer = connection.ask(requests.nth(number, &*self.clock)).await;
            let took = latency(due, sent, self.clock.monotonic());
            match answer {
                Ok(status) => self.tally.borrow_mut().answered(status, took),
                Err(error) => {
                    self.tally.borrow_mut().broken(error.to_string());
                    match Connection::open(&self.authority).await {
                        Ok(again) => connection = again,
                        Err(_) => return,
                    }
                }
            }
        }
    }
}
