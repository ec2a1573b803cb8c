use std::{fmt, net::IpAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use domain::{Clock, Participant};
use mutants::Mutant;
use parking_lot::{Mutex, MutexGuard};
use resilience::{
    Quota, RateLimiter,
    rate_limit::{Allowance, Decision, client_ip::cell_ip},
};

use crate::{LimitSettings, Metrics};

/// Cells kept for each limit. The least recently used go first; whoever is forgotten starts with a full allowance.
const CELLS_MAX: NonZeroUsize = NonZeroUsize::new(100_000).expect("not zero");

/// How much clients may ask, on this node.
pub struct Limits {
    per_ip: Mutex<RateLimiter<IpAddr>>,
    webhook_per_ip: Mutex<RateLimiter<IpAddr>>,
    per_sender: Mutex<RateLimiter<Participant>>,
    quotas: LimitSettings,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

/// A place for one message, until it is known whether it came to something.
pub(crate) struct Reserved<'a> {
    limits: &'a Limits,
    sender: Participant,
    open: bool,
}

/// What a sender is told that has sent too much.
pub(crate) struct Refusal {
    pub(crate) retry_after: Duration,
    pub(crate) allowance: Allowance,
}

/// What a limit on client addresses said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimit {
    /// When to come again, if the request was refused.
    pub refused: Option<Duration>,
    /// What is left.
    pub allowance: Allowance,
}

impl Limits {
    pub(crate) fn new(quotas: &LimitSettings, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        Self {
            per_ip: Mutex::new(RateLimiter::new(quotas.per_ip, CELLS_MAX)),
            webhook_per_ip: Mutex::new(RateLimiter::new(quotas.webhook_per_ip, CELLS_MAX)),
            per_sender: Mutex::new(RateLimiter::new(quotas.per_sender, CELLS_MAX)),
            quotas: *quotas,
            clock,
            metrics,
        }
    }

    /// The quotas behind the limits.
    #[must_use]
    pub fn quotas(&self) -> &LimitSettings {
        &self.quotas
    }

    /// Charges a request to a send route to the address it came from.
    pub fn check_ip(&self, ip: IpAddr) -> ClientLimit {
        self.check_client(&self.per_ip, ip, "ip")
    }

    /// Charges a request to an inbound route to the address it came from.
    pub fn check_webhook_ip(&self, ip: IpAddr) -> ClientLimit {
        self.check_client(&self.webhook_per_ip, ip, "webhook_ip")
    }

    /// Takes a place for a message of a sender. A refusal is counted by the caller: a replay is answered nevertheless.
    pub(crate) fn reserve_for(&self, sender: Participant) -> Result<Reserved<'_>, Refusal> {
        match self.senders().reserve(&sender, self.clock.monotonic()) {
            Decision::Allowed { .. } => Ok(Reserved {
                limits: self,
                sender,
                open: true,
            }),
            Decision::Refused {
                retry_after,
                allowance,
            } => Err(Refusal {
                retry_after,
                allowance,
            }),
        }
    }

    fn senders(&self) -> MutexGuard<'_, RateLimiter<Participant>> {
        self.per_sender.lock()
    }

    /// Counts a message that the sender's limit refused.
    pub(crate) fn count_sender_refusal(&self) {
        self.metrics.count_rate_limited("sender");
    }

    fn check_client(
        &self,
        limiter: &Mutex<RateLimiter<IpAddr>>,
        ip: IpAddr,
        limit: &'static str,
    ) -> ClientLimit {
        let decision = limiter.lock().check(&cell_ip(ip), self.clock.monotonic());
        let refused = match decision {
            Decision::Allowed { .. } => None,
            Decision::Refused { retry_after, .. } => {
                self.metrics.count_rate_limited(limit);
                Some(retry_after)
            }
        };
        ClientLimit {
            refused,
            allowance: decision.allowance(),
        }
    }
}

impl Reserved<'_> {
    /// The message was accepted, or nobody knows: it counts.
    pub(crate) fn commit(mut self) -> Allowance {
        self.open = false;
        let now = self.limits.clock.monotonic();
        if mutants::planted(Mutant::DoubleCharge) {
            let _ = self.limits.senders().check(&self.sender, now);
        }
        self.limits.senders().commit(&self.sender, now)
    }

    /// The message came to nothing.
    pub(crate) fn refund(mut self) -> Allowance {
        if mutants::planted(Mutant::NoRefund) {
            return self.commit();
        }
        self.open = false;
        let now = self.limits.clock.monotonic();
        self.limits.senders().refund(&self.sender, now)
    }
}

/// A panic must not take a place for ever.
impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.open {
            let now = self.limits.clock.monotonic();
            self.limits.senders().refund(&self.sender, now);
        }
    }
}

impl LimitSettings {
    /// Limits of so many a minute.
    ///
    /// # Errors
    /// When one of them is 0.
    pub fn per_minute(
        ip: u32,
        sender: u32,
        webhook_ip: u32,
    ) -> Result<Self, resilience::rate_limit::QuotaError> {
        Ok(Self {
            per_ip: Quota::per_minute(ip)?,
            per_sender: Quota::per_minute(sender)?,
            webhook_per_ip: Quota::per_minute(webhook_ip)?,
        })
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("quotas", &self.quotas)
            .finish_non_exhaustive()
    }
}
