//! Misbehaving providers. A call continues at the provider if its node dies.

use std::{
    panic::resume_unwind,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use async_trait::async_trait;
use domain::{Channel, ErrorCode, MessageId, ProviderName};
use engine::Engine;
use mutants::Mutant;
use parking_lot::Mutex;
use providers::{Call, Provider, SendResult};
use tokio::sync::oneshot;

use super::{
    database::Database,
    gate::{Condition, Gate},
    time::Time,
};
use crate::{
    checkers::{Beginning, CallEnd, Real},
    draw::Draw,
    plan::{Health, MessageProfile},
};

/// A provider, shared by all nodes.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) index: usize,
    name: ProviderName,
    channels: &'static [Channel],
    health: Mutex<(Health, Duration)>,
    time: Time,
    draw: Draw,
    trip_max: Duration,
    call_timeout: Duration,
}

/// The connection of one life of a node to a provider. It plants the bugs of a provider.
pub(crate) struct ProviderStub {
    pub(crate) service: Arc<Service>,
    pub(crate) database: Arc<Database>,
    pub(crate) life: u32,
    pub(crate) gate: Gate,
    pub(crate) engine: OnceLock<Weak<Engine>>,
    /// The product's simulator, which lives and dies with the node.
    pub(crate) simulator: Option<Arc<dyn Provider>>,
}

/// What happens to a call.
enum Fate {
    /// The provider takes the message or not, and answers.
    Answers(SendResult),
    /// The provider takes the message, and its answer is lost.
    TakenInSilence,
    /// The call never arrives.
    Nothing,
}

impl Service {
    pub(crate) fn new(
        index: usize,
        time: Time,
        draw: Draw,
        trip_max: Duration,
        call_timeout: Duration,
    ) -> Self {
        let (name, channels): (&str, &'static [Channel]) = match index {
            0 => ("email", &[Channel::Email]),
            _ => ("sms-mms", &[Channel::Sms, Channel::Mms]),
        };
        Self {
            index,
            name: name.parse().expect("a provider's name"),
            channels,
            health: Mutex::new((Health::Well, Duration::ZERO)),
            time,
            draw,
            trip_max,
            call_timeout,
        }
    }

    pub(crate) fn name(&self) -> &ProviderName {
        &self.name
    }

    pub(crate) fn get_into(&self, health: Health, lasting: Duration) {
        *self.health.lock() = (health, self.time.elapsed() + lasting);
    }

    /// Whether it was well since then.
    pub(crate) fn well_since(&self, then: Duration) -> bool {
        let (health, until) = *self.health.lock();
        health == Health::Well || until <= then
    }

    fn health(&self) -> Health {
        let (health, until) = *self.health.lock();
        if self.time.elapsed() < until {
            health
        } else {
            Health::Well
        }
    }

    fn decide(&self, profile: MessageProfile) -> (Fate, Duration) {
        let code = ErrorCode::of;
        let quick = self.draw.millis(0, self.trip_max.as_millis() as u64);
        let timeout = self.call_timeout.as_millis() as u64;
        let health = match self.health() {
            Health::Mixed => self.draw.pick(&[
                Health::Well,
                Health::Failing,
                Health::Hanging,
                Health::AnswersLost,
                Health::Limiting,
                Health::Slow,
            ]),
            health => health,
        };
        let taken = || match profile {
            MessageProfile::Rejected => SendResult::Rejected {
                error_code: code("no_such_number"),
            },
            _ => SendResult::Success {
                provider_message_id: None,
            },
        };
        match health {
            Health::Well | Health::Mixed => (Fate::Answers(taken()), quick),
            Health::Failing => {
                let error_code = code("provider_error");
                (Fate::Answers(SendResult::Error { error_code }), quick)
            }
            Health::Hanging => (Fate::Nothing, quick),
            Health::AnswersLost if profile == MessageProfile::Rejected => (Fate::Nothing, quick),
            Health::AnswersLost => (Fate::TakenInSilence, quick),
            Health::Limiting => {
                let retry_after = self.draw.pick(&[None, Some(1), Some(7), Some(30)]);
                let answer = SendResult::RateLimited {
                    retry_after: retry_after.map(Duration::from_secs),
                    error_code: code("provider_rate_limited"),
                };
                (Fate::Answers(answer), quick)
            }
            Health::Slow => (
                Fate::Answers(taken()),
                self.draw.millis(timeout / 3, timeout * 2 / 3),
            ),
        }
    }
}

impl ProviderStub {
    async fn deliver(
        database: Arc<Database>,
        call: usize,
        (fate, trip): (Fate, Duration),
        reply: oneshot::Sender<SendResult>,
    ) {
        tokio::time::sleep(trip).await;
        match fate {
            Fate::Nothing => {}
            Fate::TakenInSilence => database.observer.call_taken(call),
            Fate::Answers(answer) => {
                if matches!(answer, SendResult::Success { .. }) {
                    database.observer.call_taken(call);
                }
                tokio::time::sleep(trip).await;
                let _ = reply.send(answer);
            }
        }
    }

    /// What the node's breaker reports, on the world's clock.
    fn breaker(&self) -> Option<Real> {
        let engine = self.engine.get()?.upgrade()?;
        let report = engine.breaker(&self.service.name)?;
        let moved = report.last_transition_at;
        let ago = moved.map(|moved| engine.now().saturating_since(moved));
        let elapsed = self.service.time.elapsed();
        Some(Real {
            state: report.state.as_str(),
            moved_at: ago.map_or(Duration::ZERO, |ago| elapsed.saturating_sub(ago)),
        })
    }
}

impl std::fmt::Debug for ProviderStub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ProviderStub({}, {})", self.service.name, self.life)
    }
}

#[async_trait]
impl Provider for ProviderStub {
    fn name(&self) -> &ProviderName {
        &self.service.name
    }

    fn channels(&self) -> &'static [Channel] {
        self.service.channels
    }

    async fn send(&self, call: Call<'_>) -> SendResult {
        let profile = MessageProfile::of_body(call.content.body.as_str());
        let (message, attempt) = (call.message_id, call.attempt_number);
        let number = self.begin(message, attempt);
        let mut flight = Flight {
            stub: self,
            call: number,
            ended: false,
        };
        if profile == MessageProfile::Poison {
            flight.end(CallEnd::Panicked);
            // Not `panic!`, which would print thousands of planned backtraces.
            resume_unwind(Box::new("poison"));
        }
        if let Some(simulator) = &self.simulator {
            let answer = simulator.send(call).await;
            if matches!(answer, SendResult::Success { .. }) {
                self.database.observer.call_taken(number);
            }
            flight.end(CallEnd::Answered(answer.clone()));
            return answer;
        }
        let (reply, answer) = oneshot::channel();
        let fate = self.service.decide(profile);
        tokio::spawn(Self::deliver(Arc::clone(&self.database), number, fate, reply));
        match answer.await {
            Ok(mut answer) => {
                flight.end(CallEnd::Answered(answer.clone()));
                if let SendResult::Success { provider_message_id } = &mut answer {
                    *provider_message_id = Some(self.database.observer.provider_message_id(number));
                }
                if let SendResult::RateLimited { retry_after, .. } = &mut answer
                    && mutants::planted(Mutant::RetryBeforeRetryAfter)
                {
                    *retry_after = None;
                }
                answer
            }
            // No answer: the caller's timeout ends this.
            Err(_) => std::future::pending().await,
        }
    }
}

impl ProviderStub {
    fn begin(&self, message: MessageId, attempt: u32) -> usize {
        let row = self.database.memory.outbox_row(message);
        let breaker = self.breaker().expect("a caller has a breaker");
        self.database.observer.call_began(Beginning {
            life: self.life,
            provider: self.service.index,
            message,
            attempt,
            row: row.as_ref(),
            now: self.database.now(),
            breaker,
        })
    }
}

/// Records the end of a call, also of one that is dropped.
struct Flight<'a> {
    stub: &'a ProviderStub,
    call: usize,
    ended: bool,
}

impl Flight<'_> {
    fn end(&mut self, end: CallEnd) {
        self.ended = true;
        self.stub.database.observer.call_ended(self.call, end);
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let dead = self.stub.gate.condition() == Condition::Dead;
            self.end(if dead {
                CallEnd::Abandoned
            } else {
                CallEnd::TimedOut
            });
        }
    }
}
