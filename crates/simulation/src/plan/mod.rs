//! What one run does, all of it drawn from its seed before it begins: so it can be printed, and made smaller.

mod faults;
mod operations;
mod settings;

pub use faults::{Fault, FaultKind, Mood};
pub use operations::{Nature, Operation, OperationKind, ReceivePlan, SendPlan};
pub use settings::Settings;

use crate::draw::Draw;

/// One schedule.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where everything comes from.
    pub seed: u64,
    /// The shape of the world.
    pub settings: Settings,
    /// What clients do, by time.
    pub operations: Vec<Operation>,
    /// What goes wrong, by time.
    pub faults: Vec<Fault>,
}

impl Plan {
    /// The schedule of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let draw = Draw::of_seed(seed).child("plan");
        let settings = Settings::draw(&draw.child("settings"));
        let operations = operations::draw(&draw.child("operations"), &settings);
        let faults = faults::draw(&draw.child("faults"), &settings);
        Self {
            seed,
            settings,
            operations,
            faults,
        }
    }

    /// Whether nodes may lose what they knew, or an answer of the store: only without that can counters agree with rows.
    #[must_use]
    pub fn loses_knowledge(&self) -> bool {
        self.faults.iter().any(|fault| {
            !matches!(
                fault.kind,
                FaultKind::Mood { .. } | FaultKind::ClockJump { .. } | FaultKind::Restart { .. }
            )
        })
    }

    /// Whether nothing at all goes wrong, so that every message goes out exactly once.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.faults.is_empty() && !self.settings.providers_misbehave
    }
}
