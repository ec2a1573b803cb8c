use domain::{MessageId, Timestamp};

use mutants::Mutant;

use store::{RedriveFilter, RedriveTerms, Redriven, instant_after};

use crate::Tables;

impl Tables {
    pub(super) fn redrive(&mut self, id: MessageId, terms: &RedriveTerms, now: Timestamp) -> Redriven {
        let Some(row) = self.messages.get_mut(&id) else {
            return Redriven::NotFound;
        };
        let channel = row.message.content.channel;
        match self.outbox.get_mut(&id).filter(|entry| entry.dead_at.is_some()) {
            None => Redriven::NotFailed,
            Some(entry) => {
                entry.dead_at = None;
                entry.due_at = now;
                entry.deadline_at = instant_after(now, terms.deadlines.of(channel));
                entry.progress.counted = 0;
                if mutants::planted(Mutant::RedriveRestartsNumbers) {
                    entry.progress.attempts = 0;
                }
                entry.progress.rate_limited_in_a_row = 0;
                entry.progress.panics = 0;
                entry.progress.not_taken = 0;
                entry.progress.unsure = false;
                row.message.failure = None;
                let kept = terms.kept.contains(&entry.provider);
                if let Some(provider) = terms.routes.get(&channel).filter(|_| !kept) {
                    self.route(id, provider);
                }
                Redriven::Pending
            }
        }
    }

    pub(super) fn redrive_matching(
        &mut self,
        filter: &RedriveFilter,
        terms: &RedriveTerms,
        limit: u32,
        now: Timestamp,
    ) -> u64 {
        let matching: Vec<MessageId> = self
            .outbox
            .iter()
            .filter(|(id, entry)| {
                let Some((dead_at, row)) = entry.dead_at.zip(self.messages.get(id)) else {
                    return false;
                };
                let message = &row.message;
                let reason = message.failure.as_ref().map(|failure| failure.reason);
                filter
                    .provider
                    .as_ref()
                    .is_none_or(|provider| *provider == entry.provider)
                    && filter
                        .channel
                        .is_none_or(|channel| channel == message.content.channel)
                    && filter.reason.is_none_or(|wanted| Some(wanted) == reason)
                    && filter.failed_before.is_none_or(|instant| dead_at < instant)
            })
            .map(|(id, _)| *id)
            .take(limit as usize)
            .collect();
        matching.iter().for_each(|id| {
            self.redrive(*id, terms, now);
        });
        matching.len() as u64
    }
}
