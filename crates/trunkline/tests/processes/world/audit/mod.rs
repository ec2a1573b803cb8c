mod findings;
mod summary;

use std::collections::{BTreeMap, BTreeSet};

use self::Rule::{
    AnswersTrue, AttemptsComplete, ConversationsExact, DuplicatesExplained, EverythingFinal, NothingLost,
    NothingStoredTwice, ReferencesHold,
};
use super::{
    contents::{Attempt, Contents, Id, Message},
    ledger::{Call, times_seen},
    offer::Offer,
};

pub(crate) use findings::{Findings, Rule};
pub(crate) use summary::Summary;

/// Compares the answers to clients, the rows of the database and the calls that the providers recorded.
pub(super) struct Audit<'a> {
    pub(super) offers: &'a [Offer],
    pub(super) contents: &'a Contents,
    pub(super) calls: &'a [Call],
}

impl Audit<'_> {
    /// What holds at any moment.
    pub(super) fn check(&self) -> (Summary, Findings) {
        let mut found = Findings::default();
        self.accepted_messages_are_stored_as_they_were_given(&mut found);
        self.no_offer_is_stored_twice_or_against_its_answer(&mut found);
        self.conversations_are_exact(&mut found);
        self.references_hold(&mut found);
        self.attempts_are_numbered_and_explain_every_call(&mut found);
        (Summary::of(self), found)
    }

    /// Also that in the end every message is final and no lease is held.
    pub(super) fn check_final(&self) -> (Summary, Findings) {
        let (summary, mut found) = self.check();
        let seen = times_seen(self.calls);
        let outbox: BTreeSet<&Id> = self.contents.outbox.iter().map(|entry| &entry.message).collect();
        let no_lease = (summary.waiting, summary.leased) == (0, 0);
        found.expect(EverythingFinal, no_lease, || summary.to_string());
        for message in &self.contents.messages {
            let mut expect = |holds: bool, what: &str| {
                found.expect(EverythingFinal, holds, || format!("{what}: {message:?}"));
            };
            let in_outbox = outbox.contains(&message.id);
            match (message.outbound, message.status.as_str()) {
                (false, "received") => {}
                (true, "dispatched" | "delivered" | "undelivered") => {
                    expect(
                        seen.contains_key(&message.id),
                        "dispatched, and no provider saw it",
                    );
                    expect(!in_outbox, "dispatched, and still to be");
                }
                (true, "canceled") => {
                    expect(!seen.contains_key(&message.id), "canceled, and a provider saw it");
                    expect(!in_outbox, "canceled, and still to be sent");
                }
                (true, "failed") => {
                    expect(in_outbox, "no dead letter");
                    let reasons = ["exhausted", "deadline", "rejected", "poison", "no_provider"];
                    expect(
                        reasons.contains(&message.failure.as_str()),
                        "failed for no reason",
                    );
                }
                _ => expect(false, "not final"),
            }
        }
        (summary, found)
    }

    fn accepted_messages_are_stored_as_they_were_given(&self, found: &mut Findings) {
        let stored: BTreeMap<&Id, &Message> = self
            .contents
            .messages
            .iter()
            .map(|message| (&message.id, message))
            .collect();
        let keys = ids_by_name(&self.contents.keys, found);
        let inbound_ids = ids_by_name(&self.contents.inbound_ids, found);
        for offer in self.offers {
            found.expect(AnswersTrue, offer.surprises.is_empty(), || format!("{offer:?}"));
            let Some((id, conversation)) = &offer.accepted else {
                continue;
            };
            let Some(message) = stored.get(id) else {
                found.expect(NothingLost, false, || format!("{offer:?}"));
                continue;
            };
            let as_given = (&message.from, &message.to, &message.body, message.outbound)
                == (&offer.from, &offer.to, &offer.body, !offer.inbound);
            found.expect(
                AnswersTrue,
                as_given && message.conversation == *conversation,
                || format!("{offer:?} is stored as {message:?}"),
            );
            if let Some(key) = offer.key.as_deref() {
                let names = if offer.inbound { &inbound_ids } else { &keys };
                found.expect(NothingStoredTwice, names.get(key) == Some(&id), || {
                    format!("its key leads to {:?}: {offer:?}", names.get(key))
                });
            }
        }
    }

    /// Bodies are unique among offers, so two rows with one body are one offer stored twice. A message that was refused must
    /// not be stored.
    fn no_offer_is_stored_twice_or_against_its_answer(&self, found: &mut Findings) {
        let offers: BTreeMap<&str, &Offer> = self
            .offers
            .iter()
            .map(|offer| (offer.body.as_str(), offer))
            .collect();
        assert_eq!(
            offers.len(),
            self.offers.len(),
            "the test itself offers a body twice"
        );
        let mut bodies = BTreeSet::new();
        for message in &self.contents.messages {
            let body = message.body.as_str();
            found.expect(NothingStoredTwice, bodies.insert(body), || format!("{message:?}"));
            let offer = offers.get(body);
            let may_be_stored = offer.is_some_and(|offer| offer.may_be_stored);
            found.expect(AnswersTrue, may_be_stored, || {
                format!("refused or never sent, and stored: {offer:?}, {message:?}")
            });
        }
    }

    pub(super) fn conversations_are_exact(&self, found: &mut Findings) {
        let mut members: BTreeMap<&str, Vec<&Message>> = BTreeMap::new();
        for message in &self.contents.messages {
            members.entry(&message.conversation).or_default().push(message);
        }
        let mut parties = BTreeSet::new();
        for conversation in &self.contents.conversations {
            let members = members.remove(conversation.id.as_str()).unwrap_or_default();
            let mut sequences: Vec<usize> = members.iter().map(|message| message.sequence).collect();
            sequences.sort_unstable();
            let last_activity = members.iter().map(|message| message.active_at).max();
            for (holds, wrong) in [
                (parties.insert(&conversation.parties), "a second one of its pair"),
                (conversation.message_count == members.len(), "a wrong count"),
                (
                    sequences.iter().copied().eq(1..=members.len()),
                    "gaps in its sequence",
                ),
                (
                    Some(conversation.last_activity) == last_activity,
                    "a wrong last activity",
                ),
            ] {
                found.expect(ConversationsExact, holds, || {
                    format!("{wrong}, with {} messages: {conversation:?}", members.len())
                });
            }
        }
        found.expect(ConversationsExact, members.is_empty(), || {
            format!("messages of conversations that do not exist: {members:?}")
        });
    }

    /// No foreign key guards them. Messages of conversations that do not exist are found with the conversations.
    fn references_hold(&self, found: &mut Findings) {
        let Contents {
            messages,
            attempts,
            outbox,
            keys,
            inbound_ids,
            applied_receipts,
            follow_ups,
            ..
        } = self.contents;
        let messages: BTreeSet<&Id> = messages.iter().map(|message| &message.id).collect();
        let references = (outbox.iter().map(|entry| ("outbox", &entry.message)))
            .chain(attempts.iter().map(|attempt| ("attempts", &attempt.message)))
            .chain(keys.iter().map(|(_, id)| ("idempotency_keys", id)))
            .chain(inbound_ids.iter().map(|(_, id)| ("inbound_ids", id)))
            .chain(applied_receipts.iter().map(|id| ("receipts", id)))
            .chain(follow_ups.iter().map(|id| ("follow_ups", id)));
        for (table, id) in references {
            found.expect(ReferencesHold, messages.contains(id), || {
                format!("a row of {table} is about {id:?}, which is not there")
            });
        }
    }

    /// A call is recorded under its number, with its outcome or as unknown. A call under way is not recorded yet, so only the
    /// last one of a message may be missing.
    fn attempts_are_numbered_and_explain_every_call(&self, found: &mut Findings) {
        let mut attempts: BTreeMap<&Id, Vec<&Attempt>> = BTreeMap::new();
        for attempt in &self.contents.attempts {
            attempts.entry(&attempt.message).or_default().push(attempt);
        }
        for attempts in attempts.values() {
            let numbers = attempts.iter().map(|attempt| attempt.number);
            found.expect(AttemptsComplete, numbers.eq(1..=attempts.len() as u64), || {
                format!("gaps: {attempts:?}")
            });
            let successes = attempts.iter().filter(|attempt| attempt.outcome == "success");
            found.expect(AttemptsComplete, successes.count() <= 1, || {
                format!("succeeded twice: {attempts:?}")
            });
        }
        let waiting: BTreeSet<&Id> = self.contents.outbox.iter().map(|entry| &entry.message).collect();
        let mut numbers = BTreeSet::new();
        for call in self.calls {
            let is_first = numbers.insert((&call.message, call.attempt_number));
            found.expect(AttemptsComplete, is_first, || {
                format!("a number used twice: {call:?}")
            });
            let attempts = attempts.get(&call.message).map_or(&[][..], Vec::as_slice);
            let recorded = match attempts.get(call.attempt_number as usize - 1) {
                Some(attempt) => attempt.is_ambiguous() || attempt.outcome == call.outcome,
                None => call.attempt_number == attempts.len() as u64 + 1 && waiting.contains(&call.message),
            };
            found.expect(AttemptsComplete, recorded, || {
                format!("{call:?} is not on record: {attempts:?}")
            });
        }
        for (id, seen) in times_seen(self.calls) {
            let explains = |attempt: &&&Attempt| attempt.is_ambiguous() || attempt.outcome == "success";
            let attempts = attempts.get(id).map_or(&[][..], Vec::as_slice);
            let explained = attempts.iter().filter(explains).count();
            let under_way = usize::from(waiting.contains(id));
            found.expect(DuplicatesExplained, seen <= explained + under_way, || {
                format!("{id:?} was seen {seen} times: {attempts:?}")
            });
        }
    }
}

/// Idempotency keys or providers' ids: each is unique.
fn ids_by_name<'a>(rows: &'a [(String, Id)], found: &mut Findings) -> BTreeMap<&'a str, &'a Id> {
    let mut ids = BTreeMap::new();
    for (name, id) in rows {
        let is_first = ids.insert(name.as_str(), id).is_none();
        found.expect(NothingStoredTwice, is_first, || format!("two rows for {name}"));
    }
    ids
}
