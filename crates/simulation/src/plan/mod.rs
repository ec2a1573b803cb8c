//! What one run does, drawn from its seed before it begins, so that it can be printed and shrunk.

mod errors;
mod expiry;
mod faults;
mod lifecycle;
mod link;
mod operations;
mod settings;
mod simulators;

pub use faults::{Fault, FaultKind, Health, Statement, StoreFailure};
pub use lifecycle::{Lifecycle, ReceiverKind};
pub use operations::{MessageProfile, Operation, OperationKind, ReceivePlan, SendPlan};
pub use settings::Settings;

use std::time::Duration;

use crate::{NAMED_SEEDS, draw::Draw};

/// How much nodes learn of the results of their own work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Knowledge {
    /// Every answer of the store arrives, sooner or later.
    Complete,
    /// Some answers of the store are lost.
    Unanswered,
    /// Nodes lose their memory.
    Lost,
}

/// Share of worlds in which messages are read while they are in flight.
const READERS_PERMILLE: u32 = 300;

/// One schedule.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
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
        // Later additions draw from streams of their own, in some worlds only and never in that of a named seed, so that the
        // other worlds stay as they were.
        expiry::draw(&draw.child("expired keys"), &mut settings, &mut operations);
        settings.simulators = simulators::draw(&draw.child("product's simulators"));
        faults::draw_removals(&draw.child("lost routes"), &settings, &mut faults);
        link::draw(
            &draw.child("slow link"),
            &mut settings,
            &mut operations,
            &mut faults,
        );
        errors::draw(&draw.child("failing statements"), &settings, &mut faults);
        settings.readers = draw.child("readers").permille(READERS_PERMILLE);
        if NAMED_SEEDS.iter().all(|named| named.seed != seed) {
            settings.lifecycle = lifecycle::draw(&draw.child("lifecycle"), &mut operations);
        }
        Self {
            seed,
            settings,
            operations,
            faults,
        }
    }

    /// As much as the worst fault allows.
    #[must_use]
    pub fn knowledge(&self) -> Knowledge {
        let left = self.faults.iter().map(|fault| match fault.kind {
            FaultKind::Crash { .. } => Knowledge::Lost,
            FaultKind::StoreAway { .. }
            | FaultKind::StoreSlow { .. }
            | FaultKind::StoreFlaky { .. }
            | FaultKind::StatementFails { .. } => Knowledge::Unanswered,
            FaultKind::Freeze { .. }
            | FaultKind::Restart { .. }
            | FaultKind::ProviderRemoved { .. }
            | FaultKind::ClockJump { .. }
            | FaultKind::Health { .. } => Knowledge::Complete,
        });
        let over_the_link = self.settings.link.map(|_| Knowledge::Unanswered);
        left.chain(over_the_link).max().unwrap_or(Knowledge::Complete)
    }

    /// Whether at any time a node runs and reaches the store.
    #[must_use]
    pub fn house_is_kept(&self) -> bool {
        let freezes = |fault: &Fault| matches!(fault.kind, FaultKind::Freeze { .. });
        self.knowledge() == Knowledge::Complete && !self.faults.iter().any(freezes)
    }

    /// Whether no node stops or loses the store for long, so that no lease expires.
    #[must_use]
    pub fn leases_are_kept(&self) -> bool {
        let over_a_good_link = self.settings.link.is_none();
        over_a_good_link
            && self.faults.iter().all(|fault| {
                matches!(
                    fault.kind,
                    FaultKind::StoreSlow { .. }
                        | FaultKind::StoreFlaky { .. }
                        | FaultKind::ClockJump { .. }
                        | FaultKind::Health { .. }
                )
            })
    }

    /// Whether the database temporarily refuses valid messages.
    #[must_use]
    pub fn refuses_good_messages(&self) -> bool {
        let refuses = |fault: &Fault| {
            matches!(
                fault.kind,
                FaultKind::StatementFails {
                    statement: Statement::Accept,
                    failure: StoreFailure::Refused,
                    ..
                }
            )
        };
        self.faults.iter().any(refuses)
    }

    /// Whether no node ever stops or freezes.
    #[must_use]
    pub fn nodes_run_on(&self) -> bool {
        let hits_a_node = |fault: &Fault| {
            matches!(
                fault.kind,
                FaultKind::Crash { .. }
                    | FaultKind::Freeze { .. }
                    | FaultKind::Restart { .. }
                    | FaultKind::ProviderRemoved { .. }
            )
        };
        !self.faults.iter().any(hits_a_node)
    }

    /// The longest part of this time without trouble at the store.
    #[must_use]
    pub fn longest_calm(&self, from: Duration, until: Duration) -> Duration {
        let mut longest = Duration::ZERO;
        let mut calm_from = from;
        // Sorted by their beginning; one may outlast the next.
        for fault in &self.faults {
            let lasting = match fault.kind {
                FaultKind::StoreAway { lasting, .. }
                | FaultKind::StoreSlow { lasting, .. }
                | FaultKind::StoreFlaky { lasting, .. }
                | FaultKind::StatementFails { lasting, .. } => lasting,
                _ => continue,
            };
            longest = longest.max(fault.at.min(until).saturating_sub(calm_from));
            calm_from = calm_from.max(fault.at + lasting);
        }
        longest.max(until.saturating_sub(calm_from))
    }

    /// Whether nothing goes wrong, so that every message goes out exactly once.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.faults.is_empty() && !self.settings.providers_misbehave && self.settings.simulators.is_none()
    }
}
