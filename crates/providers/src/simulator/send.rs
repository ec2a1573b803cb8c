use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{Channel, Clock, ProviderName, ReceiptStatus};
use parking_lot::Mutex;

use super::{
    behaviour::{self, Behaviour},
    classify::{Response, classify},
    ledger::{LedgerEntry, LedgerFile},
    receipts::ReceiptSender,
    sequence::Sequence,
    settings::{Faults, ReceiptShares, SimulatorInstance},
};
use crate::{Call, Provider, SendResult};

#[derive(Debug)]
pub(super) struct Simulator {
    pub(super) instance: SimulatorInstance,
    /// Held for a few instructions only, never across an await.
    pub(super) course: Mutex<Course>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ledger: Option<Arc<LedgerFile>>,
    pub(super) receipts: ReceiptSender,
}

/// What decides the next call.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) faults: Faults,
    pub(super) receipts: ReceiptShares,
    pub(super) sequence: Sequence,
}

/// What happens in a call.
struct Taken {
    behaviour: Behaviour,
    /// Of a message that the simulator takes: the status, whether it comes twice, and when after the call.
    receipt: Option<(ReceiptStatus, bool, Duration)>,
}

impl Simulator {
    /// Numbers a call, decides what happens and enters it into the ledger.
    fn take(&self, call: &Call<'_>) -> Taken {
        let name = &self.instance.name;
        let (faults, receipts, (seed, number)) = {
            let mut course = self.course.lock();
            (course.faults, course.receipts, course.sequence.next())
        };
        let behaviour = Behaviour::of(faults, name.as_str(), seed, number);
        let receipt = behaviour::receipt(receipts, name.as_str(), seed, number);
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
        let receipt = receipt.map(|(status, twice)| (status, twice, receipts.delay));
        Taken { behaviour, receipt }
    }

    /// A message that was not taken gets no receipt.
    fn send_receipt(&self, result: &SendResult, receipt: Option<(ReceiptStatus, bool, Duration)>) {
        let SendResult::Success {
            provider_message_id: Some(id),
        } = result
        else {
            return;
        };
        if let Some((status, twice, delay)) = receipt {
            for _ in 0..=u8::from(twice) {
                self.receipts.send(&self.instance.name, id, status, delay);
            }
        }
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
        let Taken { behaviour, receipt } = self.take(&call);
        let Some(response) = Response::of(behaviour, self.instance.retry_after, &call) else {
            return std::future::pending().await;
        };
        if !self.instance.latency.is_zero() {
            tokio::time::sleep(self.instance.latency).await;
        }
        let result = classify(response);
        self.send_receipt(&result, receipt);
        result
    }
}
