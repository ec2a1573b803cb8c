use std::{sync::Arc, time::Duration};

use domain::Clock;
use hyper::header::HeaderValue;
use tokio::sync::{mpsc::UnboundedSender, watch};

use super::script::Step;
use crate::client::{Api, ApiAnswer};

/// How long to wait when the service does not say how long, or does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// When the next of ours, or the next of theirs, may go out: each side has limits of its own at the service.
#[derive(Debug)]
pub(super) struct Gate {
    clock: Arc<dyn Clock>,
    closed_until: watch::Sender<Duration>,
}

/// Until the demo is over, which is for ever.
const FOR_EVER: Duration = Duration::MAX;

impl Gate {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            closed_until: watch::Sender::new(Duration::ZERO),
        }
    }

    /// Nothing more goes out; whoever waits is sent away.
    pub(super) fn close(&self) {
        self.closed_until.send_replace(FOR_EVER);
    }

    /// Waits as long as the service wants us to; whether there is still time for anything then.
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
                // We hold a sender, so the channel cannot close.
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

/// Something that came of a request.
#[derive(Debug)]
pub(super) enum Event {
    RateLimited,
    Unanswered,
    /// The end of a message of ours (or else of theirs): accepted, or turned away with this word.
    Ended {
        ours: bool,
        refused: Option<String>,
    },
}

/// Offers a message until the service takes it or turns it away for good; `false` when there was no time for that. `run` tells this demo from others with the same
/// seed, whose messages would be taken for repeats.
pub(super) async fn play(
    api: &Api,
    gate: &Gate,
    run: &str,
    step: Step,
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
        // The demo is over when nobody listens.
        let _ = tell.send(event);
    };
    let ours = step.ours;
    tell.send(Event::Ended { ours, refused }).is_ok()
}
