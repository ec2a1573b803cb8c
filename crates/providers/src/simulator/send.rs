use std::sync::Arc;

use async_trait::async_trait;
use domain::{Channel, Clock, ProviderName};
use parking_lot::Mutex;

use super::{
    behaviour::Behaviour,
    classify::{Response, classify},
    ledger::{LedgerEntry, LedgerFile},
    sequence::Sequence,
    settings::{Faults, SimulatorInstance},
};
use crate::{Call, Provider, SendResult};

#[derive(Debug)]
pub(super) struct Simulator {
    pub(super) instance: SimulatorInstance,
    /// Held for a few instructions only, never across an await.
    pub(super) course: Mutex<Course>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ledger: Option<Arc<LedgerFile>>,
}

/// What decides the next call.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) faults: Faults,
    pub(super) sequence: Sequence,
}

impl Simulator {
    /// Numbers a call, decides its outcome and enters it into the ledger.
    fn take(&self, call: &Call<'_>) -> Behaviour {
        let name = &self.instance.name;
        let (faults, (seed, number)) = {
            let mut course = self.course.lock();
            (course.faults, course.sequence.next())
        };
        let behaviour = Behaviour::of(faults, name.as_str(), seed, number);
        if let Some(ledger) = &self.ledger {
            ledger.append(&LedgerEntry {
                at: self.clock.now(),
                provider: name,
                call: number,
                message_id: call.message_id,
                attempt_number: call.attempt_number,
                channel: call.content.channel,
                outcome: behaviour.outcome(),
            });
        }
        behaviour
    }
}

#[async_trait]
impl Provider for Simulator {
    fn name(&self) -> &ProviderName {
        &self.instance.name
    }

    fn channels(&self) -> &[Channel] {
        &self.instance.channels
    }

    async fn send(&self, call: Call<'_>) -> SendResult {
        let behaviour = self.take(&call);
        let Some(response) = Response::of(behaviour, self.instance.retry_after, &call) else {
            return std::future::pending().await;
        };
        if !self.instance.latency.is_zero() {
            tokio::time::sleep(self.instance.latency).await;
        }
        classify(response)
    }
}
