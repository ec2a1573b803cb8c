use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{
    contents::{Attempt, Contents, Id, Message},
    ledger::{Call, times_seen},
    load::Offer,
};

/// Compares what clients were promised, what the database holds and what the providers saw.
pub(super) struct Audit<'a> {
    pub(super) offers: &'a [Offer],
    pub(super) contents: &'a Contents,
    pub(super) calls: &'a [Call],
}

/// What an audit counted.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) accepted: usize,
    pub(crate) stored: usize,
    pub(crate) conversations: usize,
    pub(crate) attempts: usize,
    pub(crate) calls: usize,
    /// Attempts of which nobody knows whether they arrived.
    pub(crate) ambiguous: usize,
    /// Messages that a provider may have sent more than once.
    pub(crate) sent_again: usize,
    /// Entries of the outbox that are not dead, and those of them that somebody holds.
    pub(crate) waiting: usize,
    pub(crate) leased: usize,
    /// Messages that were given up.
    pub(crate) failed: usize,
}

impl Audit<'_> {
    /// Everything that holds at any moment.
    pub(super) fn check(&self) -> Summary {
        self.accepted_messages_are_stored_as_they_were_given();
        self.no_offer_is_stored_twice_or_against_its_answer();
        self.conversations_are_exact();
        self.attempts_are_numbered_and_explain_every_call();
        let Contents {
            conversations,
            messages,
            attempts,
            outbox,
            ..
        } = self.contents;
        Summary {
            accepted: self
                .offers
                .iter()
                .filter(|offer| offer.accepted.is_some())
                .count(),
            stored: messages.len(),
            conversations: conversations.len(),
            attempts: attempts.len(),
            calls: self.calls.len(),
            ambiguous: attempts.iter().filter(|attempt| attempt.is_ambiguous()).count(),
            sent_again: times_seen(self.calls).values().filter(|seen| **seen > 1).count(),
            waiting: outbox.iter().filter(|entry| !entry.dead).count(),
            leased: outbox.iter().filter(|entry| entry.leased).count(),
            failed: messages
                .iter()
                .filter(|message| message.status == "failed")
                .count(),
        }
    }

    /// Also what holds once there was time: every message is final and nobody holds one.
    pub(super) fn check_final(&self) -> Summary {
        let summary = self.check();
        let seen = times_seen(self.calls);
        let outbox: BTreeMap<&Id, bool> = self
            .contents
            .outbox
            .iter()
            .map(|entry| (&entry.message, entry.dead))
            .collect();
        assert_eq!((summary.waiting, summary.leased), (0, 0), "{summary}");
        for message in &self.contents.messages {
            match (message.outbound, message.status.as_str()) {
                (false, "received") => {}
                (true, "dispatched") => {
                    assert!(
                        seen.contains_key(&message.id),
                        "dispatched, and no provider saw it: {message:?}"
                    );
                    assert!(
                        !outbox.contains_key(&message.id),
                        "dispatched, and still to be: {message:?}"
                    );
                }
                (true, "failed") => {
                    assert!(outbox.contains_key(&message.id), "no dead letter: {message:?}");
                    let reasons = ["exhausted", "deadline", "rejected", "poison", "no_provider"];
                    assert!(reasons.contains(&message.failure.as_str()), "{message:?}");
                }
                _ => panic!("not final: {message:?}"),
            }
        }
        summary
    }

    fn accepted_messages_are_stored_as_they_were_given(&self) {
        let stored: BTreeMap<&Id, &Message> = self
            .contents
            .messages
            .iter()
            .map(|message| (&message.id, message))
            .collect();
        let keys: BTreeMap<&str, &Id> = self
            .contents
            .keys
            .iter()
            .map(|(key, id)| (key.as_str(), id))
            .collect();
        for offer in self.offers {
            let Some((id, conversation)) = &offer.accepted else {
                continue;
            };
            let message = stored
                .get(id)
                .unwrap_or_else(|| panic!("accepted and lost: {offer:?}"));
            assert_eq!(message.conversation, *conversation, "{offer:?}");
            let found = (&message.from, &message.to, &message.body, message.outbound);
            assert_eq!(found, (&offer.from, &offer.to, &offer.body, !offer.inbound));
            if let Some(key) = offer.key.as_deref().filter(|_| !offer.inbound) {
                assert_eq!(keys.get(key), Some(&id), "{offer:?}");
            }
        }
    }

    /// Bodies are unique among offers, so two rows with one body are one offer stored twice. A client that was told
    /// that nothing was kept is free to think so.
    fn no_offer_is_stored_twice_or_against_its_answer(&self) {
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
            assert!(bodies.insert(body), "stored twice: {message:?}");
            let offer = offers
                .get(body)
                .unwrap_or_else(|| panic!("nobody sent this: {message:?}"));
            assert!(offer.may_be_stored, "refused and stored: {offer:?}, {message:?}");
        }
    }

    pub(super) fn conversations_are_exact(&self) {
        let mut members: BTreeMap<&str, Vec<&Message>> = BTreeMap::new();
        for message in &self.contents.messages {
            members.entry(&message.conversation).or_default().push(message);
        }
        let mut parties = BTreeSet::new();
        for conversation in &self.contents.conversations {
            assert!(
                parties.insert(&conversation.parties),
                "a second conversation: {conversation:?}"
            );
            let members = members.remove(conversation.id.as_str()).unwrap_or_default();
            let mut sequences: Vec<usize> = members.iter().map(|message| message.sequence).collect();
            sequences.sort_unstable();
            assert_eq!(conversation.message_count, members.len(), "{conversation:?}");
            assert!(
                sequences.into_iter().eq(1..=members.len()),
                "gaps in {conversation:?}"
            );
            let last_activity = members.iter().map(|message| message.timestamp).max();
            assert_eq!(
                Some(conversation.last_activity),
                last_activity,
                "{conversation:?}"
            );
        }
        assert!(
            members.is_empty(),
            "messages of conversations that do not exist: {members:?}"
        );
    }

    /// A call is on record under its number, with the outcome the provider knows or as one whose outcome is unknown.
    /// While a call is under way it is not on record yet, so only one per message may be missing, the last.
    fn attempts_are_numbered_and_explain_every_call(&self) {
        let mut attempts: BTreeMap<&Id, Vec<&Attempt>> = BTreeMap::new();
        for attempt in &self.contents.attempts {
            attempts.entry(&attempt.message).or_default().push(attempt);
        }
        for (id, attempts) in &attempts {
            assert!(
                attempts
                    .iter()
                    .map(|attempt| attempt.number)
                    .eq(1..=attempts.len() as u64),
                "{attempts:?}"
            );
            let successes = attempts
                .iter()
                .filter(|attempt| attempt.outcome == "success")
                .count();
            assert!(successes <= 1, "{id:?} succeeded twice: {attempts:?}");
        }
        let waiting: BTreeSet<&Id> = self.contents.outbox.iter().map(|entry| &entry.message).collect();
        let mut numbers = BTreeSet::new();
        for call in self.calls {
            assert!(
                numbers.insert((&call.message, call.attempt_number)),
                "a number used twice: {call:?}"
            );
            let attempts = attempts.get(&call.message).map_or(&[][..], Vec::as_slice);
            match attempts.get(call.attempt_number as usize - 1) {
                Some(attempt) => assert!(
                    attempt.is_ambiguous() || attempt.outcome == call.outcome,
                    "{call:?} is on record as {attempt:?}"
                ),
                None => {
                    let is_next = call.attempt_number == attempts.len() as u64 + 1;
                    assert!(
                        is_next && waiting.contains(&call.message),
                        "not on record: {call:?}"
                    );
                }
            }
        }
        for (id, seen) in times_seen(self.calls) {
            let explains = |attempt: &&&Attempt| attempt.is_ambiguous() || attempt.outcome == "success";
            let explained = attempts
                .get(id)
                .map_or(0, |attempts| attempts.iter().filter(explains).count());
            let under_way = usize::from(waiting.contains(id));
            assert!(
                seen <= explained + under_way,
                "{id:?} was seen {seen} times: {:?}",
                attempts.get(id)
            );
        }
    }
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
        } = self;
        write!(
            f,
            "{accepted} accepted, {stored} stored in {conversations} conversations, {calls} calls, {attempts} attempts \
             ({ambiguous} ambiguous), {sent_again} sent again, {waiting} waiting ({leased} leased), {failed} failed"
        )
    }
}
