use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use domain::{Channel, ConversationId, Direction, MessageId, NewMessage, ProviderName, Timestamp};
use futures_util::FutureExt;
use providers::Route;
use resilience::rate_limit::Allowance;
use store::{Accept, AcceptError, Accepted, IdempotentRequest, Kind, Outage, StoreError, Unavailable};
use thiserror::Error;
use tokio::sync::oneshot;
use tracing::Instrument;

use crate::{Engine, RateLimited, dispatch::Reservation, limits::Refusal};

/// How long a client waits for an answer at most.
const ANSWER_BUDGET: Duration = Duration::from_millis(1_600);

#[derive(Debug)]
pub struct SentOutcome {
    pub result: Result<Sent, SendError>,
    /// The rest of the sender's limit, if it was checked.
    pub sender: Option<Allowance>,
}

/// A message that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    pub id: MessageId,
    pub conversation_id: ConversationId,
    /// Whether an earlier request had the same key. Nothing new was stored.
    pub replayed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SendError {
    #[error("no provider serves this channel, or no route fits the addresses")]
    NoProvider,
    #[error("this sender has sent too many messages")]
    RateLimited(RateLimited),
    #[error("this idempotency key was used with another body")]
    KeyConflict,
    #[error(transparent)]
    NotAccepted(#[from] Rejection),
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The queue is full. Nothing was stored.
    #[error("too many messages are waiting to be stored")]
    Overloaded,
    /// Nothing was stored.
    #[error("the store is unavailable")]
    Unavailable(Outage),
    #[error("the message may or may not be stored")]
    OutcomeUnknown,
    #[error("the store refuses this message")]
    Refused,
}

impl Engine {
    /// Accepts a message for sending. The answer comes within `ANSWER_BUDGET`; the work itself always runs to completion.
    pub async fn send(
        self: &Arc<Self>,
        message: NewMessage,
        request: Option<IdempotentRequest>,
    ) -> SentOutcome {
        let engine = Arc::clone(self);
        let answer = self.run_to_completion(async move { engine.send_to_completion(message, request).await });
        answer_in_time(answer).await.unwrap_or_else(|| SentOutcome {
            result: Err(Rejection::OutcomeUnknown.into()),
            sender: None,
        })
    }

    /// Runs a request in a task of its own, so that it completes even if the client hangs up.
    pub(crate) fn run_to_completion<T: Send + 'static>(
        &self,
        request: impl Future<Output = T> + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (reply, answer) = oneshot::channel();
        // `map` instead of an async block, which would reserve space for the captured future twice.
        let task = request.map(|outcome| {
            // The client may have hung up.
            let _ = reply.send(outcome);
        });
        self.node.tasks.spawn(Box::pin(task.in_current_span()));
        answer
    }

    async fn send_to_completion(
        &self,
        message: NewMessage,
        request: Option<IdempotentRequest>,
    ) -> SentOutcome {
        let channel = message.content.channel;
        if let Some(provider) = self.node.routes.scripted_for(&message.to) {
            // Tests in parallel must not use up each other's limits.
            let provider = provider.name().clone();
            return SentOutcome {
                result: self.accept_for_sending(message, request, provider).await,
                sender: None,
            };
        }
        let route = self.node.routes.choose(channel, &message.from, &message.to);
        let Some(provider) = route.map(Route::first) else {
            let result = self
                .replay_or(request.as_ref(), || self.no_provider(channel))
                .await;
            return SentOutcome { result, sender: None };
        };
        let place = match self.limits.reserve_for(message.from.clone()) {
            Ok(place) => place,
            Err(Refusal { refused, allowance }) => {
                let refuse = || {
                    self.limits.count_refusal(refused);
                    SendError::RateLimited(refused)
                };
                let result = self.replay_or(request.as_ref(), refuse).await;
                return SentOutcome {
                    result,
                    sender: Some(allowance),
                };
            }
        };
        let provider = provider.name().clone();
        let result = self.accept_for_sending(message, request, provider).await;
        let allowance = match result {
            Ok(Sent { replayed: false, .. }) | Err(SendError::NotAccepted(Rejection::OutcomeUnknown)) => {
                place.commit()
            }
            _ => place.refund(),
        };
        SentOutcome {
            result,
            sender: allowance,
        }
    }

    /// Refuses a message, unless it repeats one that was accepted: then the answer is the first one.
    async fn replay_or(
        &self,
        request: Option<&IdempotentRequest>,
        refuse: impl FnOnce() -> SendError,
    ) -> Result<Sent, SendError> {
        let earlier = match request {
            Some(request) => self.repeated(request).await,
            None => None,
        };
        earlier.unwrap_or_else(|| Err(refuse()))
    }

    /// The answer to an earlier request with this key; `None` without one.
    pub async fn repeated(&self, request: &IdempotentRequest) -> Option<Result<Sent, SendError>> {
        let repeated = self.node.store.find_repeated(request).await;
        let answer = match repeated {
            Ok(earlier) => self.answer_repeat(earlier?),
            Err(error) => {
                tracing::warn!(%error, "an idempotency key cannot be looked up: the client gets 503 and may repeat");
                let outage = match error {
                    StoreError::Unavailable(unavailable) => unavailable.outage,
                    _ => Outage::Away,
                };
                Err(Rejection::Unavailable(outage).into())
            }
        };
        Some(answer)
    }

    pub(crate) fn no_provider(&self, channel: Channel) -> SendError {
        self.node.metrics.invalid_routing.inc();
        tracing::error!(%channel, "no provider serves this channel, or no route fits the addresses: the request is refused with 500");
        SendError::NoProvider
    }

    async fn accept_for_sending(
        &self,
        message: NewMessage,
        request: Option<IdempotentRequest>,
        provider: ProviderName,
    ) -> Result<Sent, SendError> {
        let content = Arc::clone(&message.content);
        let channel = content.channel;
        let deadline = self.settings.deadlines.of(channel);
        // If the message is due, the lane has room and the breaker is closed, the entry is stored with a lease for this node and
        // needs no claim.
        let schedule = message.schedule;
        let reservation = match schedule.send_at {
            Some(_) => None,
            None => {
                let until_expiry = |expires_at: Timestamp| expires_at.saturating_since(self.node.clock.now());
                let deadline = schedule.expires_at.map_or(deadline, until_expiry);
                self.dispatcher.reserve(&provider, deadline, content.bytes())
            }
        };
        let lease = reservation.as_ref().map(Reservation::lease);
        let kind = Kind::Send {
            request,
            deadline,
            lease,
        };
        let accept = self.accept_of(message, provider.clone(), kind);
        let id = accept.id;
        match self.commits.accept(accept).await {
            Ok(Accepted::New {
                conversation_id,
                sequence,
            }) => {
                self.store_is_there();
                self.node
                    .metrics
                    .count_accepted(channel, Direction::Outbound, sequence);
                self.node.events.changed();
                match reservation {
                    Some(reservation) => reservation.enqueue(id, conversation_id, content),
                    None if schedule.send_at.is_none() => self.node.wake_ups.wake(&provider),
                    // A claim finds it once it is due.
                    None => {}
                }
                Ok(Sent {
                    id,
                    conversation_id,
                    replayed: false,
                })
            }
            Ok(earlier) => self.answer_repeat(earlier),
            Err(error) => {
                self.node.events.changed();
                if let (Some(lease), AcceptError::OutcomeUnknown(_)) = (lease, &error) {
                    // If it is stored, this node has the lease but does not send it. Releasing it lets a claim take it at once.
                    self.dispatcher.give_back(id, &provider, lease);
                }
                Err(self.rejection(error, channel).into())
            }
        }
    }

    fn answer_repeat(&self, earlier: Accepted) -> Result<Sent, SendError> {
        match earlier {
            Accepted::Repeated {
                id,
                conversation_id: Some(conversation_id),
                ..
            } => {
                self.node.metrics.idempotent_replays.inc();
                Ok(Sent {
                    id,
                    conversation_id,
                    replayed: true,
                })
            }
            Accepted::KeyConflict => Err(SendError::KeyConflict),
            // The store returns neither for a repeated send.
            Accepted::Repeated { .. } | Accepted::New { .. } => Err(Rejection::OutcomeUnknown.into()),
        }
    }

    pub(crate) fn accept_of(&self, message: NewMessage, provider: ProviderName, kind: Kind) -> Accept {
        let now = self.node.clock.now();
        Accept {
            id: MessageId::mint(now, &self.ids),
            message,
            processed_at: now,
            provider,
            kind,
        }
    }

    /// Called after every commit, so that the log says when an outage is over.
    pub(crate) fn store_is_there(&self) {
        if self.store_away.load(Ordering::Relaxed) && self.store_away.swap(false, Ordering::Relaxed) {
            tracing::info!("messages are accepted again");
        }
    }

    /// The reason goes to the log, not to the client.
    pub(crate) fn rejection(&self, error: AcceptError, channel: Channel) -> Rejection {
        match error {
            AcceptError::Overloaded => Rejection::Overloaded,
            AcceptError::Unavailable(Unavailable { outage, reason }) => {
                // Once per outage: a line per message would be thousands a second.
                if !self.store_away.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        reason,
                        "messages cannot be stored: sends get 503 until the database takes them again"
                    );
                }
                Rejection::Unavailable(outage)
            }
            AcceptError::OutcomeUnknown(reason) => {
                tracing::warn!(
                    reason,
                    "a commit got no answer: its messages may be stored, and their clients get 503 outcome_unknown"
                );
                Rejection::OutcomeUnknown
            }
            AcceptError::Refused(reason) => {
                self.node.metrics.count_conversation_failure(channel);
                tracing::error!(
                    reason,
                    "the database refuses a message: the client gets 500 and nothing is stored"
                );
                Rejection::Refused
            }
        }
    }
}

/// `None` if the answer takes longer than [`ANSWER_BUDGET`]. The request runs on.
pub(crate) async fn answer_in_time<T>(answer: oneshot::Receiver<T>) -> Option<T> {
    let result = tokio::time::timeout(ANSWER_BUDGET, answer).await.ok()?;
    // A panic of the task is logged where it happens.
    result.ok()
}
