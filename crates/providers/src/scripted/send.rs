use std::{sync::atomic::Ordering, time::Duration};

use async_trait::async_trait;
use domain::{Address, Channel, FollowUp, ProviderName, Script, Step};

use super::{
    Scripted,
    classify::{classify, outcome},
};
use crate::{Call, Provider, SendResult, ledger::LedgerEntry};

impl Scripted {
    fn script(&self, call: &Call<'_>) -> Option<Script> {
        let content = call.content;
        let to = Address::recipient(content.channel, content.to.as_str(), self.default_region).ok()?;
        Script::of(&to.participant)
    }

    /// Enters a call into the ledger, before it is answered.
    fn note(&self, call: &Call<'_>, step: Step, result: Option<&SendResult>) {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(ledger) = &self.ledger {
            ledger.append(&LedgerEntry {
                at: self.clock.now(),
                provider: &self.name,
                call: number,
                message_id: call.message_id,
                attempt_number: call.attempt_number,
                channel: call.content.channel,
                outcome: outcome(result),
                taken: step.takes(),
            });
        }
    }
}

#[async_trait]
impl Provider for Scripted {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn channels(&self) -> &[Channel] {
        Channel::ALL
    }

    async fn send(&self, call: Call<'_>) -> SendResult {
        // A recipient may have lost its script: the region in which numbers are read was changed. It takes everything.
        let (step, latency) = self.script(&call).map_or((Step::Take, Duration::ZERO), |script| {
            (script.step(call.completed_attempts), script.latency)
        });
        let result = classify(step, &call);
        self.note(&call, step, result.as_ref());
        let Some(result) = result else {
            return std::future::pending().await;
        };
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        result
    }

    fn follow_ups(&self, call: &Call<'_>) -> Vec<FollowUp> {
        let script = self.script(call);
        let taken = script.filter(|script| script.step(call.completed_attempts).takes());
        taken.map_or_else(Vec::new, |script| script.follow_ups)
    }
}
