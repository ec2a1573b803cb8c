//! The event log, as everything on a node follows it: streams, long polls, waits on messages and webhooks.

mod ring;

use std::{fmt, sync::Arc, time::Duration};

use domain::{Clock, Event, EventId};
use parking_lot::Mutex;
use store::{EventsRead, Store, StoreError};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use self::ring::Ring;
use crate::Metrics;

/// How often the log is read while it is followed: commits of other nodes wake this node in no other way.
const POLL: Duration = Duration::from_millis(50);
/// The shortest time between the starts of two reads, so that a busy node does not read event by event.
const READ_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// How long to leave a failing store alone.
const FAILURE_PAUSE: Duration = Duration::from_millis(200);
/// How long the task stays at the end of the log without followers: they often come back at once.
const LINGER: Duration = Duration::from_secs(1);
/// Events that the task reads at once.
const READ_EVENTS_MAX: u32 = 1_000;

/// The event log, with a memory of recent events. One task of the node reads new events from the store, but only while some
/// [`Following`] exists. Without one, the log costs the node nothing.
pub struct EventLog {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    ring: Mutex<Ring>,
    /// The latest event that the task has read; `None` while it does not follow the log.
    end: Mutex<Option<EventId>>,
    /// Notified when `end` moves. Not a `watch`: it wakes its readers in random order, and no simulated run could be repeated.
    moved: Notify,
    followers: watch::Sender<usize>,
    changed: Notify,
    /// Ends all waits.
    ending: CancellationToken,
}

/// Keeps the node reading the log until it is dropped.
#[must_use]
#[derive(Debug)]
pub struct Following<'a> {
    log: &'a EventLog,
}

impl EventLog {
    pub(crate) fn new(
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
        metrics: &Arc<Metrics>,
        stop: &CancellationToken,
    ) -> Self {
        Self {
            store: Arc::clone(store),
            clock: Arc::clone(clock),
            metrics: Arc::clone(metrics),
            ring: Mutex::default(),
            end: Mutex::default(),
            moved: Notify::new(),
            followers: watch::Sender::new(0),
            changed: Notify::new(),
            ending: stop.child_token(),
        }
    }

    /// Up to `limit` events after a place, or fewer. If none are returned, [`EventLog::beyond`] waits for more. While the node
    /// follows the log, a reader at its end costs the store nothing, however many there are. Then a read is a few milliseconds
    /// behind the commits of this node, and at most about 50 ms behind those of others; [`EventLog::read_now`] is never behind.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn read(&self, after: EventId, limit: u32) -> Result<EventsRead, StoreError> {
        let recent = self.ring.lock().after(after, limit as usize);
        match recent {
            Some(events) if !events.is_empty() || self.is_followed() => Ok(EventsRead::Events(events)),
            _ => self.store.events(after, limit).await,
        }
    }

    /// Whether the task has read the log up to its end. If it stops after this, [`EventLog::beyond`] starts it again.
    fn is_followed(&self) -> bool {
        self.end.lock().is_some()
    }

    /// Like [`EventLog::read`], but includes the events of all commits before the call, up to the limit.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn read_now(&self, after: EventId, limit: u32) -> Result<EventsRead, StoreError> {
        let recent = self.ring.lock().after(after, limit as usize);
        match recent {
            Some(events) if events.len() == limit as usize => Ok(EventsRead::Events(events)),
            _ => self.store.events(after, limit).await,
        }
    }

    /// The latest event by now: a reader that starts here gets all later ones.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn end(&self) -> Result<EventId, StoreError> {
        Ok(self.store.event_log().await?.end)
    }

    /// Completes with `true` when the log has events after a place, and with `false` when waits end because the node stops.
    #[must_use = "after false, no more waiting is possible"]
    pub async fn beyond(&self, after: EventId) -> bool {
        self.follow().beyond(after).await
    }

    /// Makes the node follow the log while the result exists. [`EventLog::beyond`] does that itself.
    pub fn follow(&self) -> Following<'_> {
        self.followers.send_modify(|followers| *followers += 1);
        Following { log: self }
    }

    /// To be called after each commit of this node that may have written events.
    pub fn changed(&self) {
        self.changed.notify_one();
    }

    /// Ends the waits under way, and those that begin later at once.
    pub fn end_waits(&self) {
        self.ending.cancel();
    }

    /// Follows the log whenever something waits for it. Ends with the waits.
    pub(crate) async fn run(&self) {
        let run = async {
            loop {
                self.until_followed().await;
                self.read_while_followed().await;
                self.set_end(None);
                self.ring.lock().restart(EventId::START);
            }
        };
        let _ = self.ending.run_until_cancelled(run).await;
    }

    async fn until_followed(&self) {
        // `self` holds a sender, so the channel cannot close.
        let _ = self.followers.subscribe().wait_for(|count| *count > 0).await;
    }

    async fn read_while_followed(&self) {
        let mut failing = false;
        loop {
            let began = self.clock.monotonic();
            let pause = match self.read_on().await {
                Ok(more) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("new events are read again");
                    }
                    if more {
                        continue;
                    }
                    // A slow store is read for half of the time at most.
                    let took = self.clock.monotonic().saturating_sub(began);
                    took.max(READ_INTERVAL_MIN.saturating_sub(took))
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(
                            %error,
                            "new events cannot be read: streams, waits and webhooks are late until the store answers"
                        );
                    }
                    FAILURE_PAUSE
                }
            };
            sleep(pause).await;
            if *self.followers.borrow() == 0 && timeout(LINGER, self.until_followed()).await.is_err() {
                return;
            }
            if !failing {
                let _ = timeout(POLL.saturating_sub(pause), self.changed.notified()).await;
            }
        }
    }

    /// Reads what is new. True if there is probably more.
    async fn read_on(&self) -> Result<bool, StoreError> {
        let end = *self.end.lock();
        let Some(after) = end else {
            let end = self.store.event_log().await?.end;
            self.restart(end);
            return Ok(false);
        };
        match self.store.events(after, READ_EVENTS_MAX).await? {
            EventsRead::Events(events) => {
                let full = events.len() == READ_EVENTS_MAX as usize;
                let (Some(first), Some(last)) = (events.first(), events.last()) else {
                    return Ok(false);
                };
                let (at, end) = (first.at, last.id);
                self.metrics
                    .observe_event_lag(self.clock.now().saturating_since(at));
                self.ring.lock().append(events);
                self.set_end(Some(end));
                Ok(full)
            }
            // Readers learn of it from the store.
            EventsRead::Expired { start } => {
                self.restart(start);
                Ok(true)
            }
        }
    }

    /// Lets go of events that were deleted from the store.
    pub(crate) fn forget(&self, start: EventId) {
        self.ring.lock().forget(start);
    }

    fn restart(&self, at: EventId) {
        self.ring.lock().restart(at);
        self.set_end(Some(at));
    }

    fn set_end(&self, end: Option<EventId>) {
        *self.end.lock() = end;
        self.moved.notify_waiters();
    }

    /// The latest event that the task has read, once that is what is waited for. `None` when waits end.
    async fn end_that(&self, is_awaited: impl Fn(EventId) -> bool) -> Option<EventId> {
        let awaited = async {
            loop {
                // Made before the look: it also wakes for what happens between the two.
                let moved = self.moved.notified();
                let end = *self.end.lock();
                if let Some(end) = end.filter(|end| is_awaited(*end)) {
                    return end;
                }
                moved.await;
            }
        };
        self.ending.run_until_cancelled(awaited).await
    }
}

impl Following<'_> {
    /// See [`EventLog::beyond`].
    pub async fn beyond(&self, after: EventId) -> bool {
        self.log.end_that(|end| end > after).await.is_some()
    }

    /// A place from which [`Following::until`] misses nothing that is committed after this call; `None` when waits end.
    pub(crate) async fn place(&self) -> Option<EventId> {
        self.log.end_that(|_| true).await
    }

    /// Waits until an event after a place matters, and moves the place on. Events that have left the memory count as such. False
    /// when waits end.
    pub(crate) async fn until(&self, place: &mut EventId, matters: impl Fn(&Event) -> bool) -> bool {
        loop {
            if !self.beyond(*place).await {
                return false;
            }
            let ring = self.log.ring.lock();
            let found = ring.has(*place, &matters);
            *place = ring.end();
            if found {
                return true;
            }
        }
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        self.log.followers.send_modify(|followers| *followers -= 1);
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog")
            .field("end", &*self.end.lock())
            .field("followers", &*self.followers.borrow())
            .finish_non_exhaustive()
    }
}
