//! Backfill over the reference store.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc, time::Duration};

use domain::{
    Attachments, Body, Channel, Content, Direction, Entropy, GivenAddress, Message, MessageId, NewMessage,
    PageRequest, Participant, Region, Start, SystemClock, Timestamp,
};
use store::{ConversationFilter, Import, Store};
use store_model::Memory;
use trunkline_engine::{
    BACKFILL_BATCH_MAX, BACKFILL_SKIPPED_SHOWN_MAX, BackfillProgress, BackfillReport, backfill,
};

/// Two batches and a part of a third.
const MESSAGES: u64 = 2 * BACKFILL_BATCH_MAX as u64 + 100;
const PAIRS: u64 = 40;

fn store() -> Arc<dyn Store> {
    Arc::new(Memory::new(Arc::new(SystemClock::new())))
}

fn instant(seconds: u64) -> Timestamp {
    let origin = Timestamp::parse("2024-01-01T00:00:00Z").unwrap();
    origin.saturating_add(Duration::from_secs(seconds))
}

/// The past message with this number.
fn past(number: u64, channel: Channel, from: &str, to: &str) -> Import {
    let content = Content {
        channel,
        from: GivenAddress::from_stored(from),
        to: GivenAddress::from_stored(to),
        subject: None,
        body: Body::new("hello").unwrap(),
        attachments: Attachments::default(),
        metadata: domain::Metadata::default(),
    };
    let message = NewMessage {
        from: Participant::from_stored(from),
        to: Participant::from_stored(to),
        content: Arc::new(content),
        // The timestamps are not in the order of the import.
        timestamp: Some(instant(number * 7_919 % MESSAGES)),
        schedule: domain::Schedule::default(),
    };
    Import {
        id: MessageId::mint(instant(number), &Entropy::from_seed(number)),
        direction: Direction::Inbound,
        message,
        processed_at: instant(number),
        provider: "sms-mms".parse().unwrap(),
        provider_message_id: format!("past-{number}").parse().unwrap(),
        payload: "{}".into(),
    }
}

/// A message between customer and shop, in alternating directions and formats.
fn between_pairs(number: u64) -> Import {
    let customer = format!("+1 (201) 555-{:04}", number % PAIRS);
    let shop = "+18045551234";
    if (number / PAIRS).is_multiple_of(2) {
        past(number, Channel::Sms, &customer, shop)
    } else {
        past(number, Channel::Mms, shop, &customer.replace(['(', ')'], ""))
    }
}

async fn import(store: &dyn Store, imports: &[Import]) {
    assert_eq!(store.import(imports).await, Ok(imports.len() as u64));
}

/// Count and last activity of every conversation, after a check against its messages.
async fn conversations(store: &dyn Store) -> Vec<(u64, Timestamp)> {
    let all = PageRequest::new(200, Start::Page(1));
    let page = store
        .conversations(&ConversationFilter::default(), &all)
        .await
        .unwrap();
    let mut found = Vec::new();
    for conversation in page.items.into_iter().map(|listed| listed.conversation) {
        let thread = store
            .thread(conversation.id, &PageRequest::new(200, Start::Page(1)))
            .await
            .unwrap()
            .unwrap()
            .items;
        let mut sequences: Vec<u64> = thread.iter().map(|message| message.thread.unwrap().1).collect();
        sequences.sort_unstable();
        assert!(sequences.into_iter().eq(1..=conversation.message_count));
        let at = |message: &Message| message.timestamp.min(message.processed_at);
        let last = thread.iter().map(at).max();
        assert_eq!(Some(conversation.last_activity_at), last);
        found.push((conversation.message_count, conversation.last_activity_at));
    }
    found
}

#[tokio::test]
async fn every_message_gets_its_conversation_and_a_second_run_does_nothing() {
    let store = store();
    let imports: Vec<Import> = (0..MESSAGES).map(between_pairs).collect();
    import(&*store, &imports).await;
    let mut told = Vec::new();
    let report = backfill(&*store, None, |progress| told.push(progress))
        .await
        .unwrap();
    let all = BackfillReport {
        assigned: MESSAGES,
        conversations: PAIRS,
        ..BackfillReport::default()
    };
    assert_eq!(report, all);
    let done: Vec<u64> = told.iter().map(|progress| progress.done).collect();
    assert_eq!(done, [0, 500, 1_000, MESSAGES]);
    assert!(told.iter().all(|progress| progress.total == MESSAGES));

    let mut expected: BTreeMap<u64, (u64, Timestamp)> = BTreeMap::new();
    for (number, import) in (0..).zip(&imports) {
        let pair = expected.entry(number % PAIRS).or_insert((0, Timestamp::MIN));
        *pair = (
            pair.0 + 1,
            pair.1.max(import.timestamp().min(import.processed_at)),
        );
    }
    // Conversations get their ids in the order of their first messages.
    let mut expected: Vec<_> = expected.into_iter().collect();
    expected.sort_unstable_by_key(|(pair, (_, last))| Reverse((*last, *pair)));
    let expected: Vec<_> = expected.into_iter().map(|(_, found)| found).collect();
    assert_eq!(conversations(&*store).await, expected);

    let again = backfill(&*store, None, |_| {}).await.unwrap();
    assert_eq!(again, BackfillReport::default());
    assert_eq!(conversations(&*store).await, expected);
}

#[tokio::test]
async fn a_run_continues_where_a_killed_one_stopped() {
    let store = store();
    let imports: Vec<Import> = (0..MESSAGES).map(between_pairs).collect();
    let (early, late) = imports.split_at(700);
    import(&*store, early).await;
    let first = backfill(&*store, None, |_| {}).await.unwrap();
    import(&*store, late).await;
    let mut totals = Vec::new();
    let second = backfill(&*store, None, |progress: BackfillProgress| {
        totals.push(progress.total)
    });
    let second = second.await.unwrap();
    assert_eq!((first.assigned, second.assigned), (700, MESSAGES - 700));
    assert_eq!((first.conversations, second.conversations), (PAIRS, 0));
    assert_eq!(totals[0], MESSAGES - 700);
    let counts: u64 = conversations(&*store).await.iter().map(|(count, _)| count).sum();
    assert_eq!(counts, MESSAGES);
}

#[tokio::test]
async fn messages_with_unreadable_addresses_are_skipped_and_reported() {
    let store = store();
    let imports: Vec<Import> = (0..MESSAGES)
        .map(|number| match number % 50 {
            0 => past(number, Channel::Sms, "no address at all", "+18045551234"),
            1 => past(number, Channel::Email, "a@example.com", "no address at all"),
            _ => between_pairs(number),
        })
        .collect();
    import(&*store, &imports).await;
    let report = backfill(&*store, None, |_| {}).await.unwrap();
    let unreadable: Vec<MessageId> = (0..)
        .zip(&imports)
        .filter(|(number, _)| number % 50 < 2)
        .map(|(_, import)| import.id)
        .collect();
    assert_eq!(report.skipped, unreadable.len() as u64);
    assert_eq!(report.assigned, MESSAGES - report.skipped);
    assert_eq!(report.skipped_ids, unreadable[..BACKFILL_SKIPPED_SHOWN_MAX]);
    assert_eq!(store.count_without_conversation().await, Ok(report.skipped));
}

#[tokio::test]
async fn a_batch_of_unreadable_addresses_does_not_end_the_run() {
    let store = store();
    let imports: Vec<Import> = (0..MESSAGES)
        .map(|number| match number < u64::from(BACKFILL_BATCH_MAX) {
            true => past(number, Channel::Sms, "no address at all", "+18045551234"),
            false => between_pairs(number),
        })
        .collect();
    import(&*store, &imports).await;
    let report = backfill(&*store, None, |_| {}).await.unwrap();
    assert_eq!(report.skipped, u64::from(BACKFILL_BATCH_MAX));
    assert_eq!(report.assigned, MESSAGES - report.skipped);
}

#[tokio::test]
async fn national_numbers_are_read_in_the_region() {
    for (region, expected) in [(None, 2), (Some("US"), 1)] {
        let store = store();
        let national = past(0, Channel::Sms, "(201) 555-0123", "+18045551234");
        let international = past(1, Channel::Sms, "+12015550123", "+18045551234");
        import(&*store, &[national, international]).await;
        let region = region.map(|region| region.parse::<Region>().unwrap());
        let report = backfill(&*store, region, |_| {}).await.unwrap();
        assert_eq!(report.conversations, expected, "{region:?}");
    }
}
