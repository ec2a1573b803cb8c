//! The simulator: two fake providers in this process, behind the same port as real ones, that fail on demand.
//!
//! What becomes of the n-th call at a provider follows from its seed, its name and n, and from nothing else:
//! not from the other provider, from threads or from time. What they were asked to send is in a ledger. They
//! never look at what a message says, never send anything anywhere, and never decide what a failure means for
//! a message.

mod behaviour;
mod config;
mod email;
mod ledger;
mod provider;
mod sequence;
mod simulated;
mod sms_mms;
mod wire;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use domain::{Channel, Clock, Entropy, ProviderName};
use parking_lot::Mutex;
use thiserror::Error;

pub use config::{ConfigError, Effective, Overrides, SimulatorConfig};
pub use email::EMAIL;
pub use ledger::{LEDGER_CALLS_MAX, LedgerEntry};
pub use simulated::Simulated;
pub use sms_mms::SMS_MMS;

use ledger::{Ledger, LedgerFile};
use provider::{ProviderState, Simulator, State, World};
use sequence::Sequence;

use crate::Provider;

/// The name of the simulated provider of a channel, by which it is also known as the source of inbound
/// messages.
#[must_use]
pub fn provider_name(channel: Channel) -> ProviderName {
    Simulated::serving(channel).name()
}

/// The simulated providers and what they have in common: configuration, ledger and time.
#[derive(Debug)]
pub struct Simulators {
    world: Arc<World>,
    enabled: Vec<Arc<dyn Provider>>,
}

/// What the simulated providers start with.
#[derive(Clone, Debug)]
pub struct SimulatorSettings {
    /// Whether text messages have a simulated provider.
    pub enabled_sms_mms: bool,
    /// Whether emails have a simulated provider.
    pub enabled_email: bool,
    /// How badly they behave, until it is replaced.
    pub config: SimulatorConfig,
    /// How long they take to reply.
    pub latency: Duration,
    /// What they ask for when they tell a caller to slow down.
    pub retry_after: Duration,
    /// A file that gets one line a call.
    pub ledger: Option<PathBuf>,
}

/// What keeps the simulated providers from starting.
#[derive(Debug, Error)]
pub enum SimulatorsError {
    /// They cannot behave as configured.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The ledger file cannot be opened.
    #[error("cannot append to the ledger file {}: {source}; choose one that can be written", .path.display())]
    Ledger {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

impl Simulators {
    /// Starts both, each at the beginning of its sequence.
    ///
    /// # Errors
    /// When the configuration cannot be used or the ledger file cannot be opened.
    pub fn new(
        settings: SimulatorSettings,
        entropy: &Entropy,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SimulatorsError> {
        let SimulatorSettings {
            enabled_sms_mms,
            enabled_email,
            config,
            latency,
            retry_after,
            ledger,
        } = settings;
        config.check()?;
        let file = match ledger {
            Some(path) => {
                Some(LedgerFile::open(&path).map_err(|source| SimulatorsError::Ledger { path, source })?)
            }
            None => None,
        };
        let line = |provider| ProviderState {
            sequence: Sequence::new(provider, config.effective(provider).seed, entropy),
            ledger: Ledger::default(),
        };
        let (sms_mms, email) = (line(Simulated::SmsMms), line(Simulated::Email));
        let state = Mutex::new(State {
            config,
            sms_mms,
            email,
        });
        let world = Arc::new(World {
            state,
            clock,
            latency,
            retry_after,
            file,
        });
        let enabled = [
            (Simulated::SmsMms, enabled_sms_mms),
            (Simulated::Email, enabled_email),
        ]
        .into_iter()
        .filter(|(_, enabled)| *enabled)
        .map(|(simulated, _)| -> Arc<dyn Provider> {
            Arc::new(Simulator {
                simulated,
                name: simulated.name(),
                world: Arc::clone(&world),
            })
        })
        .collect();
        Ok(Self { world, enabled })
    }

    /// The enabled ones.
    #[must_use]
    pub fn providers(&self) -> Vec<Arc<dyn Provider>> {
        self.enabled.clone()
    }

    /// The configuration that is in effect.
    #[must_use]
    pub fn config(&self) -> SimulatorConfig {
        self.world.state().config.clone()
    }

    /// Replaces the whole configuration, for both providers at the same moment; calls under way are not
    /// touched.
    ///
    /// A provider with a seed in the new configuration starts its sequence again, also when it is the same
    /// seed. One that has no seed any more goes on with outcomes nobody can foretell.
    ///
    /// # Errors
    /// When the configuration cannot be used. Then nothing has changed.
    pub fn replace(&self, config: SimulatorConfig) -> Result<(), ConfigError> {
        config.check()?;
        let mut state = self.world.state();
        for provider in Simulated::ALL {
            let seed = config.effective(provider).seed;
            state.line(provider).sequence.configure(seed);
        }
        state.config = config;
        Ok(())
    }

    /// What a provider was asked to send, in the order in which it was asked: the latest [`LEDGER_CALLS_MAX`]
    /// calls.
    #[must_use]
    pub fn calls(&self, provider: Simulated) -> Vec<LedgerEntry> {
        self.world.state().line(provider).ledger.entries()
    }
}
