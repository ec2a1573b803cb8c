//! Rules 15 and 16: the event log tells the story of every message, and all readers read the same log.

use std::collections::BTreeMap;

use domain::{Delivery, Event, EventId, EventType, MessageId, Receipt, Status};
use futures_util::FutureExt;
use store::{Events, EventsRead, Receipts};
use store_model::Memory;

use super::snapshot::{Snapshot, all_pages};

const RULE_ORDER: &str = "15: events: none lost, none twice, one order";
const RULE_STORY: &str = "15: every change of a status has its event";
const RULE_STATUS: &str = "16: a status never regresses";
const RULE_RECEIPTS: &str = "16: receipts that match are applied, and say together what they say";

/// A walk of a reader over the log.
pub(super) struct Walk {
    pub(super) after: EventId,
    pub(super) seen: Vec<EventId>,
}

/// The whole log.
pub(super) fn read_all(memory: &Memory) -> Vec<Event> {
    match memory.events(EventId::START, u32::MAX).now_or_never() {
        Some(Ok(EventsRead::Events(events))) => events,
        _ => Vec::new(),
    }
}

pub(super) fn check(
    memory: &Memory,
    snapshot: &Snapshot,
    log: &[Event],
    walks: &[Walk],
    acknowledged: &[Receipt],
    problems: &mut Vec<(&'static str, String)>,
) {
    for walk in walks {
        let Some(last) = walk.seen.last() else { continue };
        let passed = log.iter().map(|event| event.id);
        let passed = passed.filter(|id| *id > walk.after && id <= last);
        if !passed.eq(walk.seen.iter().copied()) {
            let detail = format!("a walk after {} saw {:?}", walk.after, walk.seen);
            problems.push((RULE_ORDER, detail));
        }
    }
    check_stories(snapshot, log, problems);
    check_receipts(memory, snapshot, acknowledged, problems);
}

fn check_stories(snapshot: &Snapshot, log: &[Event], problems: &mut Vec<(&'static str, String)>) {
    let mut stories: BTreeMap<MessageId, Vec<EventType>> = BTreeMap::new();
    let mut created = 0;
    for event in log {
        match (event.kind, event.subject.message_id()) {
            (EventType::ConversationCreated, _) => created += 1,
            (kind, Some(id)) => stories.entry(id).or_default().push(kind),
            (_, None) => {}
        }
    }
    if created != snapshot.conversations.len() {
        let detail = format!(
            "{} conversations, {created} of them with events",
            snapshot.conversations.len()
        );
        problems.push((RULE_STORY, detail));
    }
    for (id, detail) in &snapshot.messages {
        let story = stories.remove(id).unwrap_or_default();
        let ends_as = story.iter().try_fold(None, |before, event| next(before, *event));
        match ends_as {
            Err(()) => problems.push((RULE_STATUS, format!("{id}: {story:?}"))),
            Ok(status) if status != Some(detail.message.status) => {
                problems.push((
                    RULE_STORY,
                    format!("{id} is {}: {story:?}", detail.message.status),
                ));
            }
            Ok(_) => {}
        }
    }
    if let Some(id) = stories.keys().next() {
        problems.push((RULE_STORY, format!("{id} has events and is not stored")));
    }
}

/// The status after an event, if it may follow. A redrive has no event.
fn next(before: Option<Status>, event: EventType) -> Result<Option<Status>, ()> {
    use EventType::{
        MessageAccepted, MessageCanceled, MessageDelivered, MessageDispatched, MessageFailed,
        MessageReceived, MessageUndelivered,
    };
    let status = match (before, event) {
        (None, MessageAccepted) => Status::Pending,
        (None, MessageReceived) => Status::Received,
        (Some(Status::Pending | Status::Failed), MessageDispatched) => Status::Dispatched,
        (Some(Status::Pending | Status::Failed), MessageFailed) => Status::Failed,
        (Some(Status::Pending | Status::Failed), MessageCanceled) => Status::Canceled,
        (Some(Status::Dispatched | Status::Undelivered), MessageDelivered) => Status::Delivered,
        (Some(Status::Dispatched), MessageUndelivered) => Status::Undelivered,
        _ => return Err(()),
    };
    Ok(Some(status))
}

fn check_receipts(
    memory: &Memory,
    snapshot: &Snapshot,
    acknowledged: &[Receipt],
    problems: &mut Vec<(&'static str, String)>,
) {
    let stored = all_pages(|page| memory.receipts(None, page).now_or_never()?.ok());
    let kept = |receipt: &&Receipt| stored.iter().any(|stored| stored.receipt == **receipt);
    if let Some(lost) = acknowledged.iter().find(|receipt| !kept(receipt)) {
        problems.push((RULE_RECEIPTS, format!("acknowledged and not stored: {lost:?}")));
    }
    let mut applied: BTreeMap<MessageId, Vec<&Receipt>> = BTreeMap::new();
    for stored in &stored {
        match stored.applied_to {
            Some(id) => applied.entry(id).or_default().push(&stored.receipt),
            None if about(snapshot, &stored.receipt) => {
                problems.push((RULE_RECEIPTS, format!("not applied: {:?}", stored.receipt)));
            }
            None => {}
        }
    }
    for (id, detail) in &snapshot.messages {
        let receipts = applied.remove(id).unwrap_or_default();
        let together = Delivery::fold(receipts);
        if detail.message.delivery != together {
            let detail = format!("{id}: {together:?} is stored as {:?}", detail.message.delivery);
            problems.push((RULE_RECEIPTS, detail));
        }
    }
}

/// Whether a receipt names an attempt on record. Ids of providers are not ambiguous here.
fn about(snapshot: &Snapshot, receipt: &Receipt) -> bool {
    let mut attempts = snapshot
        .messages
        .iter()
        .flat_map(|(id, detail)| detail.attempts.iter().map(move |attempt| (*id, attempt)));
    attempts.any(|(id, attempt)| {
        let by_provider = receipt.provider_message_id.is_some()
            && attempt.provider_message_id == receipt.provider_message_id;
        let may_be_taken = attempt.outcome == domain::Outcome::Success || attempt.outcome.is_unsure();
        let same_provider = receipt
            .provider
            .as_ref()
            .is_none_or(|named| *named == attempt.provider);
        same_provider && (by_provider || receipt.message_id == Some(id) && may_be_taken)
    })
}
