use std::{sync::Arc, time::Duration};

use domain::Outcome;
use resilience::{BatchSize, breaker::Capacity};
use store::{ClaimLimits, Claimed, Claims, StoreError};
use tokio::time::timeout;

use super::lane::{Lane, lease_clock};

/// Bytes that a claim asks for: at first what 1 Mbit/s carries within a statement's time, then what arrives within
/// [`CLAIM_TARGET`]. At the minimum, large messages come one by one, so a claim that times out wastes few leases.
const CLAIM_BYTES_MIN: usize = 16 << 10;
const CLAIM_BYTES_FIRST: usize = 128 << 10;
const CLAIM_BYTES_MAX: usize = 1 << 20;
/// How long a claim should take at most: well below what a statement may take.
const CLAIM_TARGET: Duration = Duration::from_millis(500);
/// How soon a lane claims again while the store fails, however rarely it polls: messages should not wait longer than the
/// outage lasts.
const STORE_RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Fills a lane's queue from the store: with retries, with entries that other nodes left, and with messages that found no room
/// when they were accepted.
pub(super) struct Claimer {
    lane: Arc<Lane>,
    bytes: BatchSize,
    store_failing: bool,
}

/// What a claim found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// As much as it asked for: there is probably more.
    Full,
    /// Less, or no call may be made at the moment.
    Dry,
    /// It was not made, since the queue is too full.
    NoRoom,
}

impl Claimer {
    pub(super) fn new(lane: Arc<Lane>) -> Self {
        Self {
            lane,
            bytes: BatchSize::new(CLAIM_BYTES_MIN, CLAIM_BYTES_FIRST, CLAIM_BYTES_MAX, CLAIM_TARGET),
            store_failing: false,
        }
    }

    /// Claims until the lane stops. A claim under way is never cut off: what it leases must reach the queue or be given back.
    pub(super) async fn run(mut self) {
        let stop = self.lane.stop.clone();
        while !stop.is_cancelled() {
            let found = self.look().await;
            let pause = self.pause();
            let lane = &self.lane;
            let woken = async {
                match found {
                    Found::Full => {}
                    Found::NoRoom => drop(timeout(pause, lane.queue.freed()).await),
                    Found::Dry => drop(timeout(pause, lane.due.notified()).await),
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = woken => {}
            }
        }
    }

    /// How long to wait when nothing is due: not past the next change of the breaker, and not long while the store fails.
    fn pause(&self) -> Duration {
        let poll = self.lane.dispatch.poll;
        let failing = self.store_failing || self.lane.settler.is_behind();
        let poll = if failing {
            poll.min(STORE_RETRY_PAUSE)
        } else {
            poll
        };
        let change = self.lane.circuit.next_change_in();
        let change = change.filter(|change| !change.is_zero());
        change.map_or(poll, |change| change.min(poll))
    }

    async fn look(&mut self) -> Found {
        let lane = Arc::clone(&self.lane);
        let (queue, batch_max) = (&lane.queue, lane.dispatch.batch_messages_max);
        let room = queue.room_for_claims();
        // A claim of a few entries costs the store as much as a full one: wait for more room.
        if room < batch_max.min(queue.size() / 8).max(1) {
            return Found::NoRoom;
        }
        lane.circuit.tick();
        if lane.settler.is_behind() {
            // Some results are not recorded yet: a claim could get those messages and send them again.
            return Found::Dry;
        }
        let permits = match lane.circuit.capacity() {
            Capacity::Unlimited => usize::MAX,
            Capacity::Permits(permits) => (permits as usize).saturating_sub(queue.len()),
        };
        match u32::try_from(batch_max.min(room).min(permits)) {
            Ok(entries) if entries > 0 => self.claim(&lane, entries).await,
            _ => Found::Dry,
        }
    }

    async fn claim(&mut self, lane: &Lane, entries_max: u32) -> Found {
        let clock = &*lane.node.clock;
        let (began, leased_at) = (clock.monotonic(), lease_clock(clock));
        let (name, lease) = (lane.provider.name(), lane.dispatch.lease);
        let limits = ClaimLimits {
            entries: entries_max,
            bytes: self.bytes.get(),
        };
        let claims = lane.node.store.claim(name, limits, lease).await;
        let took = clock.monotonic().saturating_sub(began);
        let Some(Claims { entries, cut_short }) = self.note(claims, limits, took) else {
            return Found::Dry;
        };
        let full = cut_short || entries.len() == entries_max as usize;
        for Claimed {
            leased,
            deadline_in,
            lease_expired,
        } in entries
        {
            if lease_expired {
                lane.metrics
                    .count_attempt(leased.content.channel, Outcome::Unknown);
                tracing::warn!(
                    message_id = %leased.id, provider = %name,
                    "a lease expired without a result: the attempt is recorded as unknown, and the message is sent again"
                );
                if lane.settler.finish_sent(&leased).await {
                    continue;
                }
            }
            let (lease_ends, deadline_ends) = (leased_at + lease, began.saturating_add(deadline_in));
            if let Err(leased) = lane.queue.put(leased, lease_ends, deadline_ends).await {
                lane.settler.release(leased.id, leased.token).await;
            }
        }
        if full { Found::Full } else { Found::Dry }
    }

    /// Learns from a claim how much the next one may ask for, and logs when the store starts or stops failing.
    fn note(
        &mut self,
        claims: Result<Claims, StoreError>,
        limits: ClaimLimits,
        took: Duration,
    ) -> Option<Claims> {
        let provider = self.lane.provider.name();
        match claims {
            Ok(claims) => {
                if std::mem::take(&mut self.store_failing) {
                    tracing::info!(%provider, "due messages are claimed again");
                }
                let contents = claims
                    .entries
                    .iter()
                    .map(|claimed| claimed.leased.content.bytes());
                // What was cut short would have had more bytes than the limit.
                let least = if claims.cut_short { limits.bytes } else { 0 };
                self.bytes.succeeded(contents.sum::<usize>().max(least), took);
                Some(claims)
            }
            Err(error) => {
                if took > CLAIM_TARGET {
                    self.bytes.failed(limits.bytes, took);
                }
                if !std::mem::replace(&mut self.store_failing, true) {
                    tracing::warn!(
                        %provider, %error,
                        "due messages cannot be claimed: they wait until the store answers"
                    );
                }
                None
            }
        }
    }
}
