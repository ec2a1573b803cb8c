use std::{sync::Arc, time::Duration};

use domain::Clock;
use hyper::header::HeaderValue;
use tokio::sync::{mpsc::UnboundedSender, watch};

use super::script::ScriptStep;
use crate::client::{Api, ApiAnswer};

/// Wait without an answer, or without a `Retry-After`.
const PAUSE: Duration = Duration::from_secs(1);

/// When one side may send its next request: the service limits each side on its own.
#[derive(Debug)]
pub(super) struct Gate {
    clock: Arc<dyn Clock>,
    closed_until: watch::Sender<Duration>,
}

const FOR_EVER: Duration = Duration::MAX;

impl Gate {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            closed_until: watch::Sender::new(Duration::ZERO),
        }
    }

    /// Ends all waits: nothing more is sent.
    pub(super) fn close(&self) {
        self.closed_until.send_replace(FOR_EVER);
    }

    /// Waits until a request may be sent. False once the gate is closed for good.
    async fn pass(&self) -> bool {
        let mut changes = self.closed_until.subscribe();
        loop {
            let until = *changes.borrow_and_update();
            let wait = until.saturating_sub(self.clock.monotonic());
            if until == FOR_EVER || wait.is_zero() {
                return until != FOR_EVER;
            }
            tokio::select! {
                biased;
                // `self` holds a sender, so the channel cannot close.
                _ = changes.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn close_for(&self, time: Duration) {
        let until = self.clock.monotonic().saturating_add(time);
        self.closed_until
            .send_modify(|closed_until| *closed_until = until.max(*closed_until));
    }
}

/// The result of a request.
#[derive(Debug)]
pub(super) enum Event {
    RateLimited,
    Unanswered,
    /// The message was accepted, or refused with this code.
    Ended {
        ours: bool,
        refused: Option<String>,
    },
}

/// Sends a message until the service accepts or refuses it; false if the demo ends before. Without `run` in its id, the message
/// would be a repeat of an earlier demo with the same seed.
pub(super) async fn play(
    api: &Api,
    gate: &Gate,
    run: &str,
    step: ScriptStep,
    tell: UnboundedSender<Event>,
) -> bool {
    let id = format!("demo-{run}-{}", step.number);
    let mut body = step.body;
    if let Some(field) = step.id_field {
        body[field] = id.clone().into();
    }
    let key = HeaderValue::try_from(&id).ok().filter(|_| step.ours);
    let refused = loop {
        if !gate.pass().await {
            return false;
        }
        let event = match api.post(step.path, key.as_ref(), &body).await {
            Ok(ApiAnswer::Done(_)) => break None,
            Ok(ApiAnswer::Refused(refusal)) if [429, 503].contains(&refusal.status.as_u16()) => {
                gate.close_for(refusal.retry_after.unwrap_or(PAUSE));
                Event::RateLimited
            }
            Ok(ApiAnswer::Refused(refusal)) => break Some(refusal.code()),
            Err(_) => {
                gate.close_for(PAUSE);
                Event::Unanswered
            }
        };
        // The receiver is gone once the demo is over.
        let _ = tell.send(event);
    };
    let ours = step.ours;
    tell.send(Event::Ended { ours, refused }).is_ok()
}
