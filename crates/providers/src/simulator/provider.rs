use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{Channel, Clock, ProviderName};
use parking_lot::{Mutex, MutexGuard};

use super::{
    Simulated, SimulatorConfig,
    behaviour::Behaviour,
    ledger::{Ledger, LedgerEntry, LedgerFile},
    sequence::Sequence,
    wire::{WireResponse, classify},
};
use crate::{Call, Provider, SendResult};

/// One of the simulated providers, as the engine sees it.
#[derive(Debug)]
pub(super) struct Simulator {
    pub(super) simulated: Simulated,
    pub(super) name: ProviderName,
    pub(super) world: Arc<World>,
}

/// What the simulated providers share.
#[derive(Debug)]
pub(super) struct World {
    pub(super) state: Mutex<State>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) latency: Duration,
    pub(super) retry_after: Duration,
    pub(super) file: Option<LedgerFile>,
}

/// Under one lock, so that a new configuration is there for both at the same moment.
#[derive(Debug)]
pub(super) struct State {
    pub(super) config: SimulatorConfig,
    pub(super) sms_mms: ProviderState,
    pub(super) email: ProviderState,
}

/// Where one provider stands.
#[derive(Debug)]
pub(super) struct ProviderState {
    pub(super) sequence: Sequence,
    pub(super) ledger: Ledger,
}

impl State {
    pub(super) fn line(&mut self, provider: Simulated) -> &mut ProviderState {
        match provider {
            Simulated::SmsMms => &mut self.sms_mms,
            Simulated::Email => &mut self.email,
        }
    }
}

impl World {
    /// Holds for a few instructions only, and never across an await.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Numbers a call, decides what becomes of it and enters it into the ledger.
    fn take(&self, provider: Simulated, call: &Call<'_>) -> Behaviour {
        let at = self.clock.now();
        let (behaviour, entry) = {
            let mut state = self.state();
            let shares = state.config.effective(provider);
            let line = state.line(provider);
            let (seed, number) = line.sequence.next();
            let behaviour = Behaviour::of(shares, provider.as_str(), seed, number);
            let entry = LedgerEntry {
                at,
                provider,
                call: number,
                message_id: call.message_id,
                attempt_number: call.attempt_number,
                channel: call.content.channel,
                outcome: behaviour.outcome(),
            };
            line.ledger.push(entry);
            (behaviour, entry)
        };
        if let Some(file) = &self.file {
            file.append(&entry);
        }
        behaviour
    }
}

#[async_trait]
impl Provider for Simulator {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn channels(&self) -> &'static [Channel] {
        self.simulated.channels()
    }

    async fn send(&self, call: Call<'_>) -> SendResult {
        let behaviour = self.world.take(self.simulated, &call);
        let Some(reply) = WireResponse::of(behaviour, self.world.retry_after) else {
            return std::future::pending().await;
        };
        if !self.world.latency.is_zero() {
            tokio::time::sleep(self.world.latency).await;
        }
        classify(reply)
    }
}
