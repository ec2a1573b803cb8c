use std::{collections::BTreeMap, sync::Arc};

use domain::{
    Direction, ErrorCode, Event, EventId, EventSubject, EventType, FailureReason, MessageId, Outcome,
    Receipt, ReceiptStatus,
};
use trunkline_store::{Disposition, EventLog, EventsRead, Store};

use crate::{
    builders::{ALREADY, Draft, Held, NOT_YET, SMS, dead, in_place, retry},
    import::{key_of, past},
    walks::all_events,
    world::World,
};

/// The events about messages, without their places and times.
pub(crate) fn said(
    events: &[Event],
) -> Vec<(EventType, MessageId, Option<FailureReason>, Option<ErrorCode>)> {
    let said = events.iter().filter_map(|event| match &event.subject {
        EventSubject::Message {
            message_id,
            reason,
            error_code,
            ..
        } => Some((event.kind, *message_id, *reason, error_code.clone())),
        EventSubject::WebhookEndpoint { .. } => None,
    });
    said.collect()
}

/// What has happened since, in the order of the log.
async fn kinds_after(world: &World, after: EventId) -> Vec<EventType> {
    let events = all_events(&*world.store, after).await;
    events.iter().map(|event| event.kind).collect()
}

async fn end(world: &World) -> EventId {
    world.store.event_log().await.unwrap().end
}

pub(crate) async fn an_empty_log_ends_where_it_starts(world: &World) {
    assert_eq!(world.store.event_log().await, Ok(EventLog::default()));
    let read = world.store.events(EventId::START, 10).await;
    assert_eq!(read, Ok(EventsRead::Events(Vec::new())));
}

pub(crate) async fn an_accept_says_that_its_conversation_is_new_first(world: &World) {
    use EventType::{ConversationCreated, MessageAccepted, MessageReceived};
    let batch = [
        world.outbound().between(0, 1).key("k"),
        world.inbound("p").between(1, 0),
        world.outbound().between(0, 2),
        // Repeats happen to nothing.
        world.outbound().between(0, 1).key("k"),
        world.inbound("p").between(1, 0),
    ]
    .map(Draft::accept);
    world.accept_all(&batch).await;
    world.accept_all(&batch[..2]).await;
    let events = world.events().await;
    let about = |place: usize| -> Vec<EventType> {
        let id = Some(batch[place].id);
        let events = events.iter().filter(|event| event.subject.message_id() == id);
        events.map(|event| event.kind).collect()
    };
    assert_eq!(about(0), [ConversationCreated, MessageAccepted]);
    assert_eq!(about(1), [MessageReceived]);
    assert_eq!(about(2), [ConversationCreated, MessageAccepted]);
    assert_eq!(events.len(), 5);
    for event in &events {
        let message = world.detail(event.subject.message_id().unwrap()).await.message;
        let conversation = message.thread.map(|(conversation, _)| conversation);
        assert_eq!(event.subject.conversation_id(), conversation);
    }
}

pub(crate) async fn every_end_of_a_message_has_its_event(world: &World) {
    let code = |text: &'static str| Some(ErrorCode::of(text));
    let mut expected = Vec::new();
    let mut held = async |world: &World| {
        let id = world.accept(world.outbound().leased(NOT_YET)).await;
        expected.push((EventType::MessageAccepted, id, None, None));
        Held::at_accept(id)
    };
    let [finished, retried, dead_letter, untried, canceled] = [
        held(world).await,
        held(world).await,
        held(world).await,
        held(world).await,
        held(world).await,
    ];
    world.settle(finished.taken_as("p")).await;
    expected.push((EventType::MessageDispatched, finished.id, None, None));
    world.settle(retried.tried(Outcome::Error, retry(NOT_YET))).await;
    world
        .settle(dead_letter.tried(Outcome::Rejected, dead(FailureReason::Rejected)))
        .await;
    expected.push((
        EventType::MessageFailed,
        dead_letter.id,
        Some(FailureReason::Rejected),
        code("carrier_down"),
    ));
    world.settle(untried.untried(dead(FailureReason::Poison))).await;
    expected.push((
        EventType::MessageFailed,
        untried.id,
        Some(FailureReason::Poison),
        None,
    ));
    world.release(&[(canceled.id, canceled.token)]).await;
    world.store.cancel(canceled.id).await.unwrap();
    expected.push((EventType::MessageCanceled, canceled.id, None, None));
    let receipt = Receipt {
        error_code: code("blocked"),
        ..world.receipt_of("p", ReceiptStatus::Undelivered)
    };
    world.store_receipt(&receipt).await;
    expected.push((EventType::MessageUndelivered, finished.id, None, code("blocked")));
    let receipt = Receipt {
        error_code: code("none"),
        ..world.receipt_of("p", ReceiptStatus::Delivered)
    };
    world.store_receipt(&receipt).await;
    expected.push((EventType::MessageDelivered, finished.id, None, None));
    let events = world.events().await;
    let mut said = said(&events);
    said.retain(|(kind, ..)| *kind != EventType::ConversationCreated);
    assert_eq!(said, expected);
    assert!(events.is_sorted_by(|one, next| one.id < next.id));
    assert!(events.is_sorted_by_key(|event| event.at));
}

pub(crate) async fn a_sweep_writes_events_of_what_it_dead_letters(world: &World) {
    let late = world.accept(world.outbound().deadline(ALREADY)).await;
    let unserved = world.accept(world.outbound().by("gone")).await;
    let after = end(world).await;
    assert_eq!(world.sweep(&[SMS], 10).await.len(), 2);
    let events = all_events(&*world.store, after).await;
    let mut said = said(&events);
    said.sort_by_key(|(_, id, ..)| *id);
    assert_eq!(
        said,
        [
            (
                EventType::MessageFailed,
                late,
                Some(FailureReason::Deadline),
                None
            ),
            (
                EventType::MessageFailed,
                unserved,
                Some(FailureReason::NoProvider),
                None
            ),
        ]
    );
}

pub(crate) async fn what_changes_no_status_for_good_writes_no_event(world: &World) {
    let import = past(world.outbound().accept(), Direction::Inbound, "old");
    world.store.import(&[import]).await.unwrap();
    let unassigned = world.store.without_conversation(None, 10).await.unwrap();
    let assigned: Vec<_> = unassigned.iter().map(key_of).collect();
    world.store.assign(&assigned).await.unwrap();
    assert_eq!(end(world).await, EventId::START);

    let id = world
        .settled(world.outbound(), |held| {
            held.tried(Outcome::Error, dead(FailureReason::Exhausted))
        })
        .await;
    let after = end(world).await;
    world
        .store
        .redrive(id, &in_place(NOT_YET, NOT_YET))
        .await
        .unwrap();
    let stale = world.claim_one(SMS, ALREADY).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    world.settle(stale.taken_as("p")).await;
    world
        .settle(held.tried(Outcome::RateLimited, retry(ALREADY)))
        .await;
    assert_eq!(kinds_after(world, after).await, []);
    // The second time, nothing happens.
    let held = world.claim_one(SMS, NOT_YET).await;
    for _ in 0..2 {
        world
            .settle(held.tried(Outcome::Error, dead(FailureReason::Exhausted)))
            .await;
    }
    assert_eq!(kinds_after(world, after).await, [EventType::MessageFailed]);
}

pub(crate) async fn a_refused_settlement_writes_no_event(world: &World) {
    let id = world.accept(world.outbound().leased(NOT_YET)).await;
    let (other, _) = world.mint();
    let lost = Held::at_accept(other).tried(Outcome::Success, Disposition::Finish);
    let stale = Held {
        token: domain::LeaseToken(7),
        ..Held::at_accept(id)
    };
    let after = end(world).await;
    world.store.settle(&[lost, stale.taken_as("p")]).await.unwrap();
    assert_eq!(kinds_after(world, after).await, []);
}

pub(crate) async fn a_walk_by_any_limit_sees_each_event_once_from_any_place(world: &World) {
    for size in [1, 2, 3, 5, 1, 4] {
        let batch: Vec<_> = (0..size)
            .map(|_| world.outbound().between(0, size).accept())
            .collect();
        world.accept_all(&batch).await;
    }
    let all = world.events().await;
    assert_eq!(all.len(), 16 + 5);
    let log = world.store.event_log().await.unwrap();
    assert_eq!((log.start, log.end), (EventId::START, all.last().unwrap().id));
    for limit in 1..=all.len() as u32 + 1 {
        let mut walked: Vec<Event> = Vec::new();
        loop {
            let after = walked.last().map_or(EventId::START, |event| event.id);
            let EventsRead::Events(events) = world.store.events(after, limit).await.unwrap() else {
                panic!("nothing was purged");
            };
            assert!(events.len() <= limit as usize);
            if events.is_empty() {
                break;
            }
            walked.extend(events);
        }
        assert_eq!(walked, all, "{limit}");
    }
    for (place, event) in all.iter().enumerate() {
        let EventsRead::Events(rest) = world.store.events(event.id, 1_000).await.unwrap() else {
            panic!("nothing was purged");
        };
        assert_eq!(rest, all[place + 1..]);
    }
    let beyond = EventId::new(log.end.get() + 1_000_000).unwrap();
    let read = world.store.events(beyond, 10).await;
    assert_eq!(read, Ok(EventsRead::Events(Vec::new())));
}

pub(crate) async fn a_purge_deletes_the_oldest_and_says_from_where_events_are_kept(world: &World) {
    for pair in 1..5 {
        world.accept(world.outbound().between(0, pair)).await;
    }
    let old = world.events().await;
    assert_eq!(world.store.purge_events(NOT_YET, 100).await, Ok(0));
    world.pass(NOT_YET).await;
    let fresh = world.accept(world.outbound().between(0, 1)).await;
    let end = end(world).await;
    // At least one goes in each call, until all old ones have gone.
    let mut purged = 0;
    while purged < old.len() as u64 {
        let now = world.store.purge_events(NOT_YET, 3).await.unwrap();
        assert!((1..=6).contains(&now), "{now}");
        purged += now;
        let log = world.store.event_log().await.unwrap();
        assert_eq!((log.start, log.end), (old[purged as usize - 1].id, end));
        let before = EventId::new(log.start.get() - 1).unwrap();
        for expired in [EventId::START, before] {
            assert_eq!(
                world.store.events(expired, 10).await,
                Ok(EventsRead::Expired { start: log.start })
            );
        }
        assert_eq!(
            all_events(&*world.store, log.start).await.len(),
            old.len() + 1 - purged as usize
        );
    }
    assert_eq!(world.store.purge_events(NOT_YET, 3).await, Ok(0));
    let left = world.events().await;
    assert_eq!(said(&left), [(EventType::MessageAccepted, fresh, None, None)]);
    // An empty log keeps its place: later events are after it.
    world.store.purge_events(ALREADY, 100).await.unwrap();
    let log = world.store.event_log().await.unwrap();
    assert_eq!((log.start, log.end), (end, end));
    world.accept(world.outbound().between(0, 1)).await;
    let events = all_events(&*world.store, end).await;
    assert!(events.len() == 1 && events[0].id > end, "{events:?}");
}

/// Readers that follow the log while two nodes write see the same events in the same order, each once.
pub(crate) async fn readers_see_one_order_while_two_nodes_write(world: &World) {
    const BATCHES: u32 = 20;
    let nodes = world.two_nodes().await;
    let mut writers = Vec::new();
    for (node, store) in nodes.iter().enumerate() {
        let batches: Vec<_> = (0..BATCHES)
            .map(|pair| {
                [world.outbound(), world.outbound()].map(|draft| draft.between(node as u32, pair).accept())
            })
            .collect();
        let store = Arc::clone(store);
        writers.push(tokio::spawn(async move {
            for batch in batches {
                store.accept(&batch).await.unwrap();
                tokio::task::yield_now().await;
            }
        }));
    }
    let readers: Vec<_> = nodes
        .into_iter()
        .map(|store| tokio::spawn(follow(store, 80)))
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let all = world.events().await;
    for reader in readers {
        assert_eq!(reader.await.unwrap(), all);
    }
    let mut accepted: BTreeMap<MessageId, u32> = BTreeMap::new();
    for (_, id, ..) in said(&all)
        .iter()
        .filter(|(kind, ..)| *kind == EventType::MessageAccepted)
    {
        *accepted.entry(*id).or_default() += 1;
    }
    assert_eq!(accepted.len(), 80);
    assert!(accepted.values().all(|times| *times == 1));
}

/// Reads until it has seen so many messages accepted.
async fn follow(store: Arc<dyn Store>, accepted: usize) -> Vec<Event> {
    let mut seen: Vec<Event> = Vec::new();
    let is_accept = |event: &&Event| event.kind == EventType::MessageAccepted;
    loop {
        let after = seen.last().map_or(EventId::START, |event| event.id);
        let EventsRead::Events(events) = store.events(after, 7).await.unwrap() else {
            panic!("nothing was purged");
        };
        seen.extend(events);
        if seen.iter().filter(is_accept).count() == accepted {
            return seen;
        }
        tokio::task::yield_now().await;
    }
}
