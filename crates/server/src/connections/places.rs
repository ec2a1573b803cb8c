use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst},
    },
    task::Context,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use ipnet::IpNet;
use parking_lot::Mutex;
use resilience::rate_limit::client_ip::cell_ip;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Concurrent connections: each takes a file descriptor, and up to about 100 KB while a request is read.
const CONNECTIONS_MAX: usize = 4_096;
/// Further connections while all others have a request under way, for probes. They get `/healthz`, and `503` for everything
/// else.
const HEALTH_CONNECTIONS_MAX: usize = 32;
/// How often to look for a connection that can be closed, while there is no place left.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The state of a connection, in the order in which connections are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum ConnectionPhase {
    /// Between two requests.
    Idle = 1,
    /// New, without a byte of a request.
    Silent,
    /// Receiving the head of a request.
    Head,
    /// A request is under way.
    Busy,
    /// An answer is being written.
    Answering,
}

#[derive(Debug)]
pub(super) struct Places {
    seats: Mutex<Seats>,
    permits: Arc<Semaphore>,
    per_address_max: usize,
    unlimited: Vec<IpNet>,
    /// The next number for [`Seat::waits_since`].
    waits: Arc<AtomicU64>,
    /// Whether the log has a line about it.
    is_full: AtomicBool,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Seats {
    by_number: HashMap<u64, Arc<Seat>>,
    by_address: HashMap<IpAddr, usize>,
    next: u64,
}

/// The shared state of a connection.
#[derive(Debug)]
pub(super) struct Seat {
    address: IpAddr,
    /// Whether it is one of the `HEALTH_CONNECTIONS_MAX`.
    pub(super) is_for_health: bool,
    phase: AtomicU8,
    waits: Arc<AtomicU64>,
    /// Grows with each wait for a request, over all connections: the smallest has waited longest.
    waits_since: AtomicU64,
    /// The connection ends once it is in this phase or an earlier one.
    close_up_to: AtomicU8,
    waker: AtomicWaker,
    /// Whether the client may still send a body that nothing reads.
    pub(super) leaves_unread: AtomicBool,
    /// Whether its answer is a stream of events, which goes on for as long as the client reads.
    pub(super) is_stream: AtomicBool,
}

/// A place among all connections, until it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPlace {
    places: Arc<Places>,
    number: u64,
    seat: Arc<Seat>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(per_address_max: usize, unlimited: Vec<IpNet>) -> Self {
        Self {
            seats: Mutex::default(),
            permits: Arc::new(Semaphore::new(CONNECTIONS_MAX + HEALTH_CONNECTIONS_MAX)),
            per_address_max,
            unlimited,
            waits: Arc::default(),
            is_full: AtomicBool::new(false),
            ended: Notify::new(),
        }
    }

    /// Waits until one more connection may be accepted.
    pub(super) async fn permit(&self) -> OwnedSemaphorePermit {
        loop {
            let permit = Arc::clone(&self.permits).acquire_owned();
            match tokio::time::timeout(LOOK_AGAIN, permit).await {
                Ok(permit) => return permit.expect("the semaphore is never closed"),
                Err(_) => drop(close_longest_waiting(&self.seats.lock(), |_| true)),
            }
        }
    }

    pub(super) fn try_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// Registers a connection. If it is one too many, the one that has waited longest for a request is closed. `None` if the
    /// address has too many, each with a request under way.
    pub(super) fn take(
        self: &Arc<Self>,
        peer: IpAddr,
        permit: OwnedSemaphorePermit,
    ) -> Option<ConnectionPlace> {
        let address = cell_ip(peer);
        let peer = peer.to_canonical();
        let is_limited = !self.unlimited.iter().any(|network| network.contains(&peer));
        let mut seats = self.seats.lock();
        let own = seats.by_address.get(&address).copied().unwrap_or(0);
        if is_limited
            && own >= self.per_address_max
            && !close_longest_waiting(&seats, |seat| seat.address == address)
        {
            tracing::debug!(own, "an address has too many connections");
            return None;
        }
        let is_full = seats.by_number.len() >= CONNECTIONS_MAX && !close_longest_waiting(&seats, |_| true);
        if self.is_full.swap(is_full, SeqCst) != is_full && is_full {
            tracing::warn!("all connections have a request under way: new ones get 503 until one is free");
        }
        let seat = Arc::new(Seat {
            address,
            is_for_health: is_full,
            phase: AtomicU8::new(ConnectionPhase::Silent as u8),
            waits: Arc::clone(&self.waits),
            waits_since: AtomicU64::new(self.waits.fetch_add(1, SeqCst)),
            close_up_to: AtomicU8::new(0),
            waker: AtomicWaker::new(),
            leaves_unread: AtomicBool::new(false),
            is_stream: AtomicBool::new(false),
        });
        let number = seats.next;
        seats.next += 1;
        seats.by_number.insert(number, Arc::clone(&seat));
        *seats.by_address.entry(address).or_default() += 1;
        drop(seats);
        Some(ConnectionPlace {
            places: Arc::clone(self),
            number,
            seat,
            _permit: permit,
        })
    }

    /// Ends all connections once they are in this phase or one before.
    pub(super) fn close(&self, up_to: ConnectionPhase) {
        for seat in self.seats.lock().by_number.values() {
            seat.close(up_to);
        }
    }

    /// Waits until there is no connection.
    pub(super) async fn all_ended(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.seats.lock().by_number.is_empty() {
                return;
            }
            ended.await;
        }
    }
}

/// Ends the connection among these that has waited longest for a request; one that is receiving a head only if there is no
/// other. False if all have a request under way.
fn close_longest_waiting(seats: &Seats, among: impl Fn(&Seat) -> bool) -> bool {
    let waiting = seats.by_number.values().filter(|seat| {
        seat.phase() <= ConnectionPhase::Head
            && seat.close_up_to.load(SeqCst) < ConnectionPhase::Head as u8
            && among(seat)
    });
    let longest = waiting.min_by_key(|seat| {
        (
            seat.phase() == ConnectionPhase::Head,
            seat.waits_since.load(SeqCst),
        )
    });
    longest
        .inspect(|seat| seat.close(ConnectionPhase::Head))
        .is_some()
}

impl Seat {
    pub(super) fn phase(&self) -> ConnectionPhase {
        match self.phase.load(SeqCst) {
            1 => ConnectionPhase::Idle,
            2 => ConnectionPhase::Silent,
            3 => ConnectionPhase::Head,
            4 => ConnectionPhase::Busy,
            _ => ConnectionPhase::Answering,
        }
    }

    pub(super) fn enter(&self, phase: ConnectionPhase) {
        if phase == ConnectionPhase::Idle {
            self.waits_since.store(self.waits.fetch_add(1, SeqCst), SeqCst);
        }
        self.phase.store(phase as u8, SeqCst);
    }

    /// Whether the connection must end now. If not, the task is woken when it must.
    pub(super) fn must_end(&self, context: &Context<'_>) -> bool {
        self.waker.register(context.waker());
        self.phase() as u8 <= self.close_up_to.load(SeqCst)
    }

    fn close(&self, up_to: ConnectionPhase) {
        self.close_up_to.fetch_max(up_to as u8, SeqCst);
        self.waker.wake();
    }
}

impl ConnectionPlace {
    pub(super) fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut seats = self.places.seats.lock();
        seats.by_number.remove(&self.number);
        if let Some(own) = seats.by_address.get_mut(&self.seat.address) {
            *own -= 1;
            if *own == 0 {
                seats.by_address.remove(&self.seat.address);
            }
        }
        drop(seats);
        self.places.ended.notify_waiters();
    }
}
