use std::{collections::BTreeMap, fmt};

/// How many findings of a rule are shown; the first ones say enough.
const SHOWN_MAX: usize = 5;

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// What was acknowledged is stored.
    NothingLost,
    /// One offer is one row, whatever it was asked to be under its key.
    NothingStoredTwice,
    /// A provider sees a message again only after an attempt whose outcome is not known.
    DuplicatesExplained,
    /// Clients are told what is so, and in time.
    AnswersTrue,
    /// One conversation for each pair, with exact counts, sequences and last activity.
    ConversationsExact,
    /// What a row refers to is there.
    ReferencesHold,
    /// Attempts have no gaps, at most one success, and a place for every call.
    AttemptsComplete,
    /// Once there was time, everything is final for a reason that has a name, and nobody holds anything.
    EverythingFinal,
}

/// Where something that must hold did not.
#[derive(Debug, Default)]
pub(crate) struct Findings(BTreeMap<Rule, Vec<String>>);

impl Findings {
    /// Notes what is wrong if it does not hold.
    pub(super) fn expect(&mut self, rule: Rule, holds: bool, wrong: impl FnOnce() -> String) {
        if !holds {
            self.0.entry(rule).or_default().push(wrong());
        }
    }

    pub(crate) fn of(&self, rule: Rule) -> usize {
        self.0.get(&rule).map_or(0, Vec::len)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (rule, wrongs) in &self.0 {
            for wrong in wrongs.iter().take(SHOWN_MAX) {
                writeln!(f, "{rule:?} broken: {wrong}")?;
            }
            if wrongs.len() > SHOWN_MAX {
                writeln!(f, "{rule:?} broken {} times more", wrongs.len() - SHOWN_MAX)?;
            }
        }
        Ok(())
    }
}
