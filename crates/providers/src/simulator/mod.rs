//! The simulator: fake providers in this process, behind the same port as real ones, that fail on demand.
//!
//! The outcome of the n-th call at a simulator follows from its seed, its name and n, and from nothing else: not
//! from other providers, threads or time; so do its latency and its receipts. A simulator never looks at what a message says,
//! never sends anything anywhere, and never decides what a failure means for a message.

mod behaviour;
mod check;
mod classify;
mod receipts;
mod send;
mod sequence;
mod settings;

use std::sync::Arc;

use domain::{Clock, Entropy, ProviderName};
use parking_lot::Mutex;
use thiserror::Error;

pub use check::{ConfigError, ConfigProblem};
pub use receipts::{DueReceipts, RECEIPTS_WAITING_MAX, ReceiptSender, receipt_channel};
pub use settings::{
    FaultOverrides, Faults, ReceiptOverrides, ReceiptShares, SimulatorConfig, SimulatorInstance,
    SimulatorSettings,
};

use send::{Course, Simulator};
use sequence::Sequence;

use crate::{
    Provider,
    ledger::{LedgerError, LedgerFile},
};

/// All simulators of a node.
#[derive(Debug)]
pub struct Simulators {
    simulators: Vec<Arc<Simulator>>,
    config: Mutex<SimulatorConfig>,
}

#[derive(Debug, Error)]
pub enum SimulatorsError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Simulators {
    /// Each starts at the beginning of its sequence, and sends its receipts into the channel.
    ///
    /// # Errors
    /// When the configuration cannot be used or the ledger file cannot be opened.
    pub fn new(
        settings: SimulatorSettings,
        entropy: &Entropy,
        clock: Arc<dyn Clock>,
        receipts: &ReceiptSender,
    ) -> Result<Self, SimulatorsError> {
        settings.check()?;
        let SimulatorSettings {
            instances,
            config,
            ledger,
        } = settings;
        let ledger = ledger.map(|path| LedgerFile::open(&path)).transpose()?;
        let ledger = ledger.map(Arc::new);
        let simulator = |instance: SimulatorInstance| {
            let faults = config.effective(&instance.name);
            let shares = config.effective_receipts(&instance.name);
            let sequence = Sequence::new(instance.name.clone(), faults.seed, entropy);
            Arc::new(Simulator {
                instance,
                course: Mutex::new(Course {
                    faults,
                    receipts: shares,
                    sequence,
                }),
                clock: Arc::clone(&clock),
                ledger: ledger.clone(),
                receipts: receipts.clone(),
            })
        };
        Ok(Self {
            simulators: instances.into_iter().map(simulator).collect(),
            config: Mutex::new(config),
        })
    }

    /// In the order of the settings.
    #[must_use]
    pub fn providers(&self) -> Vec<Arc<dyn Provider>> {
        let provider = |simulator: &Arc<Simulator>| Arc::clone(simulator) as Arc<dyn Provider>;
        self.simulators.iter().map(provider).collect()
    }

    /// The names, in the order of the settings.
    pub fn names(&self) -> impl Iterator<Item = &ProviderName> + Clone {
        self.simulators.iter().map(|simulator| &simulator.instance.name)
    }

    /// The configuration that holds.
    #[must_use]
    pub fn config(&self) -> SimulatorConfig {
        self.config.lock().clone()
    }

    /// Replaces the whole configuration, for all simulators at the same moment; calls under way are not touched.
    ///
    /// A simulator with a seed in the new configuration starts its sequence again, also when the seed is the
    /// same. One that has no seed any more goes on with a drawn one.
    ///
    /// # Errors
    /// When the configuration cannot be used. Then nothing has changed.
    pub fn replace(&self, config: SimulatorConfig) -> Result<(), ConfigError> {
        config.check(self.names())?;
        let mut held = self.config.lock();
        let mut courses: Vec<_> = self
            .simulators
            .iter()
            .map(|simulator| simulator.course.lock())
            .collect();
        for (course, name) in courses.iter_mut().zip(self.names()) {
            course.faults = config.effective(name);
            course.receipts = config.effective_receipts(name);
            let seed = course.faults.seed;
            course.sequence.configure(seed);
        }
        *held = config;
        Ok(())
    }
}
