//! What one run does, all of it drawn from its seed before it begins: so it can be printed, and made smaller.

mod expiry;
mod faults;
mod operations;
mod settings;
mod simulators;

pub use faults::{Fault, FaultKind, Mood};
pub use operations::{Nature, Operation, OperationKind, ReceivePlan, SendPlan};
pub use settings::Settings;

use crate::draw::Draw;

/// What nodes know of what they did, from all of it to the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Knowledge {
    /// Every answer of the store reaches whom it is meant for, sooner or later.
    Complete,
    /// Some answers of the store are lost.
    Unanswered,
    /// Nodes lose what they had in memory.
    Lost,
}

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
        let mut settings = Settings::draw(&draw.child("settings"));
        let mut operations = operations::draw(&draw.child("operations"), &settings);
        let mut faults = faults::draw(&draw.child("faults"), &settings);
        // What came later draws from streams of its own and plays a part in some worlds only, none of which is that of a named
        // seed: the others are what they were.
        expiry::draw(&draw.child("expired keys"), &mut settings, &mut operations);
        settings.simulators = simulators::draw(&draw.child("product's simulators"));
        faults::draw_removals(&draw.child("lost routes"), &settings, &mut faults);
        Self {
            seed,
            settings,
            operations,
            faults,
        }
    }

    /// What nodes get to know of what they did: as much as the worst of the faults leaves them.
    #[must_use]
    pub fn knowledge(&self) -> Knowledge {
        let left = self.faults.iter().map(|fault| match fault.kind {
            FaultKind::Crash { .. } => Knowledge::Lost,
            FaultKind::StoreAway { .. } | FaultKind::StoreSlow { .. } | FaultKind::StoreFlaky { .. } => {
                Knowledge::Unanswered
            }
            FaultKind::Freeze { .. }
            | FaultKind::Restart { .. }
            | FaultKind::ProviderRemoved { .. }
            | FaultKind::ClockJump { .. }
            | FaultKind::Mood { .. } => Knowledge::Complete,
        });
        left.max().unwrap_or(Knowledge::Complete)
    }

    /// Whether there is a node at any time that runs and reaches the store.
    #[must_use]
    pub fn house_is_kept(&self) -> bool {
        let freezes = |fault: &Fault| matches!(fault.kind, FaultKind::Freeze { .. });
        self.knowledge() == Knowledge::Complete && !self.faults.iter().any(freezes)
    }

    /// Whether every node lives on and reaches the store now and then: then no lease is left to run out.
    #[must_use]
    pub fn leases_are_kept(&self) -> bool {
        self.faults.iter().all(|fault| {
            matches!(
                fault.kind,
                FaultKind::StoreSlow { .. }
                    | FaultKind::StoreFlaky { .. }
                    | FaultKind::ClockJump { .. }
                    | FaultKind::Mood { .. }
            )
        })
    }

    /// Whether nothing at all goes wrong, so that every message goes out exactly once.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.faults.is_empty() && !self.settings.providers_misbehave && self.settings.simulators.is_none()
    }
}
