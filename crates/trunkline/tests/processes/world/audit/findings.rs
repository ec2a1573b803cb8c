use std::{collections::BTreeMap, fmt};

/// Findings shown for each rule.
const SHOWN_MAX: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// What was acknowledged is stored.
    NothingLost,
    /// One offered message is one row, even if its key was reused.
    NothingStoredTwice,
    /// A provider sees a message again only after an attempt whose outcome is not known.
    DuplicatesExplained,
    /// Answers are true and in time.
    AnswersTrue,
    /// One conversation for each pair, with exact counts, sequences and last activity.
    ConversationsExact,
    /// No row refers to a missing one.
    ReferencesHold,
    /// Attempts have no gaps, at most one success, and a place for every call.
    AttemptsComplete,
    /// In the end every message is final with a reason, and no lease is held.
    EverythingFinal,
}

/// Violations of the rules.
#[derive(Debug, Default)]
pub(crate) struct Findings(BTreeMap<Rule, Vec<String>>);

impl Findings {
    /// Records a violation unless `holds`.
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
