use std::{collections::BTreeMap, fmt};

use super::{
    super::{contents::Contents, ledger::times_seen},
    Audit,
};

#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) accepted: usize,
    pub(crate) stored: usize,
    pub(crate) conversations: usize,
    pub(crate) attempts: usize,
    pub(crate) calls: usize,
    /// Attempts that may or may not have arrived.
    pub(crate) ambiguous: usize,
    /// Attempts with a `late_outcome`.
    pub(crate) late: usize,
    /// Messages that a provider may have sent more than once.
    pub(crate) sent_again: usize,
    /// Outbox entries that are not dead, and those of them with a lease.
    pub(crate) waiting: usize,
    pub(crate) leased: usize,
    /// Failed messages.
    pub(crate) failed: usize,
    pub(crate) attempts_by_outcome: BTreeMap<String, usize>,
    pub(crate) failed_by_reason: BTreeMap<String, usize>,
}

impl Summary {
    pub(super) fn of(audit: &Audit<'_>) -> Self {
        let Contents {
            conversations,
            messages,
            attempts,
            outbox,
            ..
        } = audit.contents;
        let failed = || messages.iter().filter(|message| message.status == "failed");
        let accepted = audit.offers.iter().filter(|offer| offer.accepted.is_some());
        Self {
            accepted: accepted.count(),
            stored: messages.len(),
            conversations: conversations.len(),
            attempts: attempts.len(),
            calls: audit.calls.len(),
            ambiguous: attempts.iter().filter(|attempt| attempt.is_ambiguous()).count(),
            late: attempts
                .iter()
                .filter(|attempt| !attempt.late_outcome.is_empty())
                .count(),
            sent_again: times_seen(audit.calls).values().filter(|seen| **seen > 1).count(),
            waiting: outbox.iter().filter(|entry| !entry.dead).count(),
            leased: outbox.iter().filter(|entry| entry.leased).count(),
            failed: failed().count(),
            attempts_by_outcome: tally(attempts.iter().map(|attempt| &attempt.outcome)),
            failed_by_reason: tally(failed().map(|message| &message.failure)),
        }
    }
}

fn tally<'a>(names: impl Iterator<Item = &'a String>) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for name in names {
        *tally.entry(name.clone()).or_default() += 1;
    }
    tally
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            accepted,
            stored,
            conversations,
            attempts,
            calls,
            ambiguous,
            sent_again,
            waiting,
            leased,
            failed,
            ..
        } = self;
        write!(
            f,
            "{accepted} accepted, {stored} stored in {conversations} conversations, {calls} calls, {attempts} attempts \
             ({ambiguous} ambiguous), {sent_again} sent again, {waiting} waiting ({leased} leased), {failed} failed"
        )
    }
}
