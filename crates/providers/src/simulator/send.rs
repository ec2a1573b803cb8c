use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{Channel, Clock, ProviderName};
use parking_lot::Mutex;

use super::{
    behaviour::{self, Behaviour},
    classify::{Response, classify},
    receipts::ReceiptSender,
    sequence::Sequence,
    settings::{Faults, ReceiptShares, SimulatorInstance},
};
use crate::{
    Call, Provider, SendResult,
    ledger::{LedgerEntry, LedgerFile},
};

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

impl Simulator {
    /// Numbers a call, decides what happens and how long it takes, enters it into the ledger, and sends the receipts of a message
    /// that is taken. They come also if the caller gives up.
    fn begin(&self, call: &Call<'_>) -> (Behaviour, Duration) {
        let name = &self.instance.name;
        let (faults, receipts, (seed, number)) = {
            let mut course = self.course.lock();
            (course.faults, course.receipts, course.sequence.next())
        };
        let behaviour = Behaviour::of(faults, name.as_str(), seed, number);
        let taken = behaviour.takes(faults, name.as_str(), seed, number);
        let latency = behaviour::latency(faults, name.as_str(), seed, number);
        if let Some(ledger) = &self.ledger {
            ledger.append(&LedgerEntry {
                at: self.clock.now(),
                provider: name,
                call: number,
                message_id: call.message_id,
                attempt_number: call.attempt_number,
                channel: call.content.channel,
                outcome: behaviour.outcome(),
                taken,
            });
        }
        let receipt = behaviour::receipt(receipts, name.as_str(), seed, number);
        if let Some((status, twice)) = receipt.filter(|_| taken) {
            let delay = latency.saturating_add(receipts.delay);
            for _ in 0..=u8::from(twice) {
                self.receipts.send(name, call, status, delay);
            }
        }
        (behaviour, latency)
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
        let (behaviour, latency) = self.begin(&call);
        let Some(response) = Response::of(behaviour, self.instance.retry_after, &call) else {
            return std::future::pending().await;
        };
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        classify(response)
    }
}
