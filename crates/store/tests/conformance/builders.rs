//! Builds the input of the cases: messages to accept and settlements.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::{
    Address, Attachments, Body, Channel, Content, ErrorCode, FailureReason, Fingerprint, LeaseToken,
    MessageId, Metadata, NewMessage, Outcome, ProviderName, Schedule, Subject, Timestamp,
};
use trunkline_store::{
    Accept, AttemptRecord, ClaimLimits, Claimed, Deadlines, Disposition, FIRST_LEASE, IdempotentRequest,
    Kind, Progress, RedriveTerms, Settlement, UnservedRule,
};

pub(crate) const NOT_YET: Duration = Duration::from_secs(3_600);
pub(crate) const ALREADY: Duration = Duration::ZERO;

/// What no node has announced is unserved at once.
pub(crate) const AT_ONCE: UnservedRule = UnservedRule {
    after: ALREADY,
    gap_max: NOT_YET,
};

/// The provider of SMS and MMS, unless a case says otherwise.
pub(crate) const SMS: &str = "sms-mms";
/// The provider of emails, unless a case says otherwise.
pub(crate) const EMAIL: &str = "email";

/// The id that a provider gives a message it takes.
pub(crate) const PROVIDER_ID: &str = "their-id";

/// A message on its way to becoming an [`Accept`].
#[derive(Clone)]
pub(crate) struct Draft {
    id: MessageId,
    now: Timestamp,
    channel: Channel,
    from: String,
    to: String,
    subject: Option<String>,
    body: String,
    attachments: Vec<String>,
    timestamp: Timestamp,
    metadata: Vec<(String, String)>,
    schedule: Schedule,
    provider: Option<ProviderName>,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Out {
        key: Option<String>,
        deadline: Duration,
        lease: Option<Duration>,
    },
    In {
        provider_message_id: String,
    },
}

impl Draft {
    pub(crate) fn outbound(id: MessageId, now: Timestamp) -> Self {
        let way = Way::Out {
            key: None,
            deadline: NOT_YET,
            lease: None,
        };
        Self::new(id, now, way)
    }

    pub(crate) fn inbound(id: MessageId, now: Timestamp, provider_message_id: &str) -> Self {
        let provider_message_id = provider_message_id.to_owned();
        Self::new(id, now, Way::In { provider_message_id })
    }

    fn new(id: MessageId, now: Timestamp, way: Way) -> Self {
        Self {
            id,
            now,
            channel: Channel::Sms,
            from: phone(0),
            to: phone(1),
            subject: None,
            body: "hello".to_owned(),
            attachments: Vec::new(),
            timestamp: now,
            metadata: Vec::new(),
            schedule: Schedule::default(),
            provider: None,
            way,
        }
    }

    /// The pair of phone numbers, and so the conversation.
    pub(crate) fn between(mut self, from: u32, to: u32) -> Self {
        (self.from, self.to) = (phone(from), phone(to));
        self
    }

    pub(crate) fn sms(mut self, from: &str, to: &str) -> Self {
        (self.from, self.to) = (from.to_owned(), to.to_owned());
        self
    }

    pub(crate) fn mms(mut self, attachments: &[&str]) -> Self {
        self.channel = Channel::Mms;
        self.attachments = attachments.iter().map(|url| (*url).to_owned()).collect();
        self
    }

    pub(crate) fn email(mut self, from: &str, to: &str) -> Self {
        self.channel = Channel::Email;
        (self.from, self.to) = (from.to_owned(), to.to_owned());
        self
    }

    pub(crate) fn subject(mut self, subject: &str) -> Self {
        self.subject = Some(subject.to_owned());
        self
    }

    pub(crate) fn attached(mut self, url: &str) -> Self {
        self.attachments.push(url.to_owned());
        self
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = body.to_owned();
        self
    }

    /// When its sender says it was written, in seconds from the first instant of 2025.
    pub(crate) fn written(mut self, seconds: i64) -> Self {
        self.timestamp = instant(seconds);
        self
    }

    /// To be sent so much later; its timestamp is that time.
    pub(crate) fn send_in(self, duration: Duration) -> Self {
        let send_at = self.now.saturating_add(duration);
        self.send_at(send_at)
    }

    pub(crate) fn send_at(mut self, send_at: Timestamp) -> Self {
        self.timestamp = send_at;
        self.schedule.send_at = Some(send_at);
        self
    }

    pub(crate) fn expires_in(mut self, duration: Duration) -> Self {
        self.schedule.expires_at = Some(self.now.saturating_add(duration));
        self
    }

    pub(crate) fn metadata(mut self, entries: &[(&str, &str)]) -> Self {
        let entries = entries.iter();
        self.metadata = entries
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self
    }

    pub(crate) fn by(mut self, provider: &str) -> Self {
        self.provider = Some(provider.parse().unwrap());
        self
    }

    /// The idempotency key; the body is what the fingerprint is of.
    pub(crate) fn key(mut self, text: &str) -> Self {
        if let Way::Out { key, .. } = &mut self.way {
            *key = Some(text.to_owned());
        }
        self
    }

    pub(crate) fn deadline(mut self, duration: Duration) -> Self {
        if let Way::Out { deadline, .. } = &mut self.way {
            *deadline = duration;
        }
        self
    }

    pub(crate) fn leased(mut self, duration: Duration) -> Self {
        if let Way::Out { lease, .. } = &mut self.way {
            *lease = Some(duration);
        }
        self
    }

    pub(crate) fn accept(self) -> Accept {
        let from = Address::sender(self.channel, &self.from, None).unwrap();
        let to = Address::recipient(self.channel, &self.to, None).unwrap();
        let content = Content {
            channel: self.channel,
            from: from.given,
            to: to.given,
            subject: self.subject.map(|subject| Subject::new(subject).unwrap()),
            body: Body::new(self.body.clone()).unwrap(),
            attachments: Attachments::new(self.attachments, 10).unwrap(),
            metadata: Metadata::new(self.metadata.into_iter().collect()).unwrap(),
        };
        let provider = self.provider.unwrap_or_else(|| match self.channel {
            Channel::Sms | Channel::Mms => name(SMS),
            Channel::Email => name(EMAIL),
        });
        let kind = match self.way {
            Way::Out { key, deadline, lease } => Kind::Send {
                request: key.map(|key| request(&key, &self.body)),
                deadline,
                lease,
            },
            Way::In { provider_message_id } => Kind::Receive {
                provider_message_id: provider_message_id.parse().unwrap(),
                payload: format!("{{\"id\":\"{provider_message_id}\"}}").into(),
            },
        };
        Accept {
            id: self.id,
            message: NewMessage {
                from: from.participant,
                to: to.participant,
                content: Arc::new(content),
                timestamp: Some(self.timestamp),
                schedule: self.schedule,
            },
            processed_at: self.now,
            provider,
            kind,
        }
    }
}

/// A request with this key that said this.
pub(crate) fn request(key: &str, said: &str) -> IdempotentRequest {
    IdempotentRequest {
        key: key.parse().unwrap(),
        fingerprint: Fingerprint::of([Some(said)]),
    }
}

/// A limit in entries, without one in bytes.
pub(crate) fn up_to(entries: u32) -> ClaimLimits {
    let bytes = usize::MAX;
    ClaimLimits { entries, bytes }
}

pub(crate) fn name(provider: &str) -> ProviderName {
    provider.parse().unwrap()
}

/// Seconds from the first instant of 2025.
pub(crate) fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_735_689_600 + seconds) * 1_000_000).unwrap()
}

fn phone(number: u32) -> String {
    format!("+1201{number:07}")
}

/// A lease as its holder knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    pub(crate) id: MessageId,
    pub(crate) token: LeaseToken,
    pub(crate) progress: Progress,
}

impl Held {
    /// The lease on an entry that was leased while it was accepted.
    pub(crate) fn at_accept(id: MessageId) -> Self {
        Self {
            id,
            token: FIRST_LEASE,
            progress: Progress::default(),
        }
    }

    /// A settlement with an attempt.
    pub(crate) fn tried(&self, outcome: Outcome, disposition: Disposition) -> Settlement {
        let error_code = (outcome != Outcome::Success).then(|| ErrorCode::of("carrier_down"));
        let limited = outcome == Outcome::RateLimited;
        let rate_limited_in_a_row = if limited {
            self.progress.rate_limited_in_a_row + 1
        } else {
            0
        };
        Settlement {
            id: self.id,
            token: self.token,
            tried: Some(AttemptRecord {
                outcome,
                error_code,
                occurred_at: instant(7),
                latency: Duration::from_micros(12_345),
                provider_message_id: (outcome == Outcome::Success).then(|| PROVIDER_ID.parse().unwrap()),
            }),
            disposition,
            progress: Progress {
                attempts: self.progress.attempts + 1,
                lost: self.progress.lost,
                counted: self.progress.counted + u32::from(!limited),
                rate_limited_in_a_row,
                panics: self.progress.panics,
                not_taken: self.progress.not_taken,
                unsure: self.progress.unsure,
            },
            follow_ups: Vec::new(),
        }
    }

    /// A settlement with an attempt for which the provider gave this id.
    pub(crate) fn tried_as(
        &self,
        provider_message_id: &str,
        outcome: Outcome,
        disposition: Disposition,
    ) -> Settlement {
        let mut settlement = self.tried(outcome, disposition);
        if let Some(tried) = &mut settlement.tried {
            tried.provider_message_id = Some(provider_message_id.parse().unwrap());
        }
        settlement
    }

    /// The provider took the message and gave it this id.
    pub(crate) fn taken_as(&self, provider_message_id: &str) -> Settlement {
        self.tried_as(provider_message_id, Outcome::Success, Disposition::Finish)
    }

    /// A settlement without an attempt.
    pub(crate) fn untried(&self, disposition: Disposition) -> Settlement {
        Settlement {
            id: self.id,
            token: self.token,
            tried: None,
            disposition,
            progress: self.progress,
            follow_ups: Vec::new(),
        }
    }
}

impl From<&Claimed> for Held {
    fn from(claimed: &Claimed) -> Self {
        Self {
            id: claimed.leased.id,
            token: claimed.leased.token,
            progress: claimed.leased.progress,
        }
    }
}

pub(crate) fn retry(after: Duration) -> Disposition {
    Disposition::Retry { after }
}

pub(crate) fn reroute(provider: &str) -> Disposition {
    let provider = name(provider);
    Disposition::Reroute { provider }
}

/// Redriven messages may be tried for so long, and stay with their providers.
pub(crate) fn in_place(sms: Duration, email: Duration) -> RedriveTerms {
    RedriveTerms {
        deadlines: Deadlines { sms, email },
        routes: BTreeMap::new(),
        kept: Vec::new(),
    }
}

pub(crate) fn dead(reason: FailureReason) -> Disposition {
    Disposition::DeadLetter(reason)
}
