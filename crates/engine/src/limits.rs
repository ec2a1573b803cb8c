use std::{fmt, net::IpAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use domain::{Clock, Participant};
use parking_lot::Mutex;
use resilience::{
    Quota, RateLimiter,
    rate_limit::{Allowance, Decision, client_ip::cell_ip},
};

use crate::{LimitSettings, Metrics};

/// Cells kept for each limit. The least recently used go first; a key without a cell has its full allowance.
const CELLS_MAX: NonZeroUsize = NonZeroUsize::new(100_000).expect("not zero");

/// The rate limits on clients, per node. One that is off allows everything.
pub struct Limits {
    per_ip: Option<Mutex<RateLimiter<IpAddr>>>,
    webhook_per_ip: Option<Mutex<RateLimiter<IpAddr>>>,
    per_sender: Option<Mutex<RateLimiter<Participant>>>,
    quotas: LimitSettings,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

/// Which limit refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Ip,
    Sender,
    WebhookIp,
}

/// A request or message that a limit refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimited {
    pub limit: Limit,
    pub retry_after: Duration,
}

/// The answer of a limit on client addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimit {
    pub refused: Option<RateLimited>,
    /// `None` while the limit is off.
    pub allowance: Option<Allowance>,
}

/// A charge to a sender that is not final yet: dropping it refunds, so that a panic does not cost the sender a message.
pub(crate) struct Reserved<'a> {
    limits: &'a Limits,
    sender: Option<Participant>,
}

pub(crate) struct Refusal {
    pub(crate) refused: RateLimited,
    pub(crate) allowance: Allowance,
}

impl Limits {
    pub(crate) fn new(quotas: &LimitSettings, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        Self {
            per_ip: limiter(quotas.per_ip),
            webhook_per_ip: limiter(quotas.webhook_per_ip),
            per_sender: limiter(quotas.per_sender),
            quotas: *quotas,
            clock,
            metrics,
        }
    }

    #[must_use]
    pub fn quotas(&self) -> &LimitSettings {
        &self.quotas
    }

    /// Charges a request to a send route to the address it came from.
    pub fn check_ip(&self, ip: IpAddr) -> ClientLimit {
        self.check_client(self.per_ip.as_ref(), ip, Limit::Ip)
    }

    /// Charges a request to an inbound route to the address it came from.
    pub fn check_webhook_ip(&self, ip: IpAddr) -> ClientLimit {
        self.check_client(self.webhook_per_ip.as_ref(), ip, Limit::WebhookIp)
    }

    /// Charges a message to its sender. The caller counts a refusal, because a replay is answered even then.
    pub(crate) fn reserve_for(&self, sender: Participant) -> Result<Reserved<'_>, Refusal> {
        let decision = self.senders(|limiter, now| limiter.reserve(&sender, now));
        match decision {
            Some(Decision::Refused {
                retry_after,
                allowance,
            }) => Err(Refusal {
                refused: RateLimited {
                    limit: Limit::Sender,
                    retry_after,
                },
                allowance,
            }),
            _ => Ok(Reserved {
                limits: self,
                sender: Some(sender),
            }),
        }
    }

    pub(crate) fn count_refusal(&self, refused: RateLimited) {
        self.metrics.count_rate_limited(refused.limit);
    }

    fn senders<T>(&self, ask: impl FnOnce(&mut RateLimiter<Participant>, Duration) -> T) -> Option<T> {
        let limiter = self.per_sender.as_ref()?;
        Some(ask(&mut limiter.lock(), self.clock.monotonic()))
    }

    fn check_client(
        &self,
        limiter: Option<&Mutex<RateLimiter<IpAddr>>>,
        ip: IpAddr,
        limit: Limit,
    ) -> ClientLimit {
        let Some(limiter) = limiter else {
            return ClientLimit {
                refused: None,
                allowance: None,
            };
        };
        let decision = limiter.lock().check(&cell_ip(ip), self.clock.monotonic());
        let refused = match decision {
            Decision::Allowed { .. } => None,
            Decision::Refused { retry_after, .. } => Some(RateLimited { limit, retry_after }),
        };
        if let Some(refused) = refused {
            self.count_refusal(refused);
        }
        ClientLimit {
            refused,
            allowance: Some(decision.allowance()),
        }
    }
}

impl Limit {
    pub const ALL: [Self; 3] = [Self::Ip, Self::Sender, Self::WebhookIp];

    /// The name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Sender => "sender",
            Self::WebhookIp => "webhook_ip",
        }
    }
}

impl Reserved<'_> {
    /// For a message that was accepted, or may have been. `None` while the limit is off.
    pub(crate) fn commit(mut self) -> Option<Allowance> {
        let sender = self.sender.take()?;
        self.limits.senders(|limiter, now| limiter.commit(&sender, now))
    }

    /// For a message that certainly was not accepted. `None` while the limit is off.
    pub(crate) fn refund(mut self) -> Option<Allowance> {
        self.refund_once()
    }

    fn refund_once(&mut self) -> Option<Allowance> {
        let sender = self.sender.take()?;
        self.limits.senders(|limiter, now| limiter.refund(&sender, now))
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.refund_once();
    }
}

impl LimitSettings {
    /// Limits of so many a minute; 0 is off.
    #[must_use]
    pub fn per_minute(ip: u32, sender: u32, webhook_ip: u32) -> Self {
        Self {
            per_ip: Quota::per_minute(ip).ok(),
            per_sender: Quota::per_minute(sender).ok(),
            webhook_per_ip: Quota::per_minute(webhook_ip).ok(),
        }
    }
}

fn limiter<K: Eq + std::hash::Hash + Clone>(quota: Option<Quota>) -> Option<Mutex<RateLimiter<K>>> {
    quota.map(|quota| Mutex::new(RateLimiter::new(quota, CELLS_MAX)))
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("quotas", &self.quotas)
            .finish_non_exhaustive()
    }
}
