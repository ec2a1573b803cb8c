use std::collections::BTreeSet;

use domain::{
    Channel, Conversation, ConversationChannel, ConversationId, Message, MessageId, Outcome, PAGE_BYTES_MAX,
    PageRequest, Participant, Start, Status, TOTAL_COUNTED_MAX, Total,
};
use trunkline_store::{Accept, ConversationFilter, Disposition, ListedConversation, MessageFilter};

use crate::{
    builders::{EMAIL, SMS, instant, name},
    walks::WALK_MAX,
    world::World,
};

fn ids(conversations: &[Conversation]) -> Vec<ConversationId> {
    conversations.iter().map(|conversation| conversation.id).collect()
}

pub(crate) async fn conversations_by_latest_activity(world: &World) {
    let empty = PageRequest::new(0, Start::Page(1));
    let page = world
        .store
        .conversations(&ConversationFilter::default(), &empty)
        .await
        .unwrap();
    assert_eq!(
        (page.items, page.total, page.next),
        (vec![], Total::exact(0), None)
    );

    for (pair, seconds) in [(1, 30), (2, 10), (3, 50), (4, 20), (5, 40)] {
        world
            .accept(world.outbound().between(0, pair).written(seconds))
            .await;
    }
    // Activity moves a conversation to the front.
    world.accept(world.inbound("p").between(2, 0).written(60)).await;
    let all = world.conversations().await;
    let latest: Vec<_> = all
        .iter()
        .map(|conversation| conversation.last_activity_at)
        .collect();
    assert_eq!(latest, [60, 50, 40, 30, 20].map(instant));

    let mut start = Start::Page(1);
    for (number, expected) in all.chunks(2).enumerate() {
        let numbered = PageRequest::new(2, Start::Page(number as u32 + 1));
        let by_number = world
            .store
            .conversations(&ConversationFilter::default(), &numbered)
            .await
            .unwrap();
        let by_cursor = PageRequest::new(2, start);
        let by_cursor = world
            .store
            .conversations(&ConversationFilter::default(), &by_cursor)
            .await
            .unwrap();
        assert_eq!(by_number, by_cursor);
        assert_eq!(
            (conversations(&by_number.items), by_number.total),
            (expected.to_vec(), Total::exact(5))
        );
        match by_number.next {
            Some(position) => start = Start::After(position),
            None => assert_eq!(number, 2),
        }
    }
    let beyond = PageRequest::new(2, Start::Page(4));
    let page = world
        .store
        .conversations(&ConversationFilter::default(), &beyond)
        .await
        .unwrap();
    assert_eq!(
        (page.items, page.total, page.next),
        (vec![], Total::exact(5), None)
    );
    // A last page that is full has no successor.
    let whole = PageRequest::new(5, Start::Page(1));
    let page = world
        .store
        .conversations(&ConversationFilter::default(), &whole)
        .await
        .unwrap();
    assert_eq!((page.items.len(), page.next), (5, None));
    let last = PageRequest::new(200, Start::Page(u32::MAX));
    let page = world
        .store
        .conversations(&ConversationFilter::default(), &last)
        .await
        .unwrap();
    assert_eq!(page.items, []);
}

fn conversations(listed: &[ListedConversation]) -> Vec<Conversation> {
    listed.iter().map(|listed| listed.conversation.clone()).collect()
}

pub(crate) async fn conversations_with_equal_activity_by_highest_id(world: &World) {
    for pair in [4, 2, 5, 1, 3] {
        world.accept(world.outbound().between(0, pair).written(1)).await;
    }
    let all = ids(&world.conversations().await);
    assert!(all.is_sorted_by(|one, next| one > next));
    let mut walked = Vec::new();
    let mut start = Start::Page(1);
    loop {
        let request = PageRequest::new(1, start);
        let page = world
            .store
            .conversations(&ConversationFilter::default(), &request)
            .await
            .unwrap();
        walked.extend(ids(&conversations(&page.items)));
        assert!(walked.len() < WALK_MAX, "the walk does not end");
        match page.next {
            Some(position) => start = Start::After(position),
            None => break,
        }
    }
    assert_eq!(walked, all);
}

pub(crate) async fn conversations_of_a_channel_and_of_a_participant_on_either_side(world: &World) {
    let batch: Vec<Accept> = vec![
        world.outbound().sms("+12010000005", "+12010000001").accept(),
        world.outbound().sms("+12010000005", "+12010000009").accept(),
        world.outbound().sms("+12010000001", "+12010000009").accept(),
        world.inbound("self").sms("+12010000005", "+12010000005").accept(),
        world.outbound().email("a@example.com", "m@example.com").accept(),
        world.outbound().email("z@example.com", "m@example.com").accept(),
        world.outbound().email("a@example.com", "z@example.com").accept(),
    ];
    world.accept_all(&batch).await;
    let find = async |channel: Option<ConversationChannel>, participant: Option<&str>| {
        let filter = ConversationFilter {
            channel,
            participant: participant.map(Participant::from_stored),
        };
        let first = PageRequest::new(1, Start::Page(1));
        let total = world.store.conversations(&filter, &first).await.unwrap().total;
        let mut found = Vec::new();
        let mut start = Start::Page(1);
        loop {
            let page = world
                .store
                .conversations(&filter, &PageRequest::new(1, start))
                .await
                .unwrap();
            assert_eq!(page.total, total);
            found.extend(page.items.into_iter().map(|listed| listed.conversation.key));
            assert!(found.len() < WALK_MAX, "the walk does not end");
            match page.next {
                Some(position) => start = Start::After(position),
                None => break,
            }
        }
        assert_eq!(total, Total::exact(found.len() as u64));
        found
    };
    let keys = |places: &[usize]| {
        places
            .iter()
            .map(|place| batch[*place].message.conversation())
            .collect::<BTreeSet<_>>()
    };
    let cases: [(Option<ConversationChannel>, Option<&str>, &[usize]); 9] = [
        (None, None, &[0, 1, 2, 3, 4, 5, 6]),
        (Some(ConversationChannel::Sms), None, &[0, 1, 2, 3]),
        (Some(ConversationChannel::Email), None, &[4, 5, 6]),
        (None, Some("+12010000005"), &[0, 1, 3]),
        (None, Some("+12010000001"), &[0, 2]),
        (None, Some("m@example.com"), &[4, 5]),
        (Some(ConversationChannel::Email), Some("z@example.com"), &[5, 6]),
        (Some(ConversationChannel::Sms), Some("z@example.com"), &[]),
        (None, Some("+1201"), &[]),
    ];
    for (channel, participant, expected) in cases {
        let found = find(channel, participant).await;
        let distinct: BTreeSet<_> = found.iter().cloned().collect();
        assert_eq!(
            (found.len(), distinct),
            (expected.len(), keys(expected)),
            "{channel:?}"
        );
    }
}

pub(crate) async fn a_walk_over_conversations_never_repeats_one(world: &World) {
    for pair in 1..=20 {
        world
            .accept(world.outbound().between(0, pair).written(i64::from(pair)))
            .await;
    }
    let before: BTreeSet<_> = ids(&world.conversations().await).into_iter().collect();
    let (mut seen, mut start, mut moved) = (Vec::new(), Start::Page(1), BTreeSet::new());
    let mut now = 100;
    loop {
        let request = PageRequest::new(3, start);
        let page = world
            .store
            .conversations(&ConversationFilter::default(), &request)
            .await
            .unwrap();
        seen.extend(ids(&conversations(&page.items)));
        assert!(seen.len() < WALK_MAX, "the walk does not end");
        // Meanwhile messages arrive everywhere: in conversations seen, not yet seen, and new.
        for pair in [
            1 + world.below(20) as u32,
            1 + world.below(20) as u32,
            1_000 + now as u32,
        ] {
            now += 1;
            let id = world.accept(world.outbound().between(0, pair).written(now)).await;
            moved.insert(world.detail(id).await.message.thread.unwrap().0);
        }
        match page.next {
            Some(position) => start = Start::After(position),
            None => break,
        }
    }
    let distinct: BTreeSet<_> = seen.iter().copied().collect();
    assert_eq!(distinct.len(), seen.len(), "a conversation came twice");
    assert!(
        before.difference(&moved).all(|id| distinct.contains(id)),
        "a quiet conversation was missed"
    );
}

pub(crate) async fn totals_are_counted_up_to_ten_thousand(world: &World) {
    let count = u32::try_from(TOTAL_COUNTED_MAX).unwrap();
    let one = PageRequest::new(1, Start::Page(1));
    let everyone = ConversationFilter::default();
    let of_zero = ConversationFilter {
        participant: Some(Participant::from_stored("+12010000000")),
        ..everyone.clone()
    };
    for first in (1..=count).step_by(1_000) {
        let batch: Vec<Accept> = (first..first + 1_000)
            .map(|pair| world.outbound().between(0, pair).accept())
            .collect();
        world.accept_all(&batch).await;
    }
    let exact = Total::exact(TOTAL_COUNTED_MAX);
    let capped = Total {
        count: TOTAL_COUNTED_MAX,
        capped: true,
    };
    for total in [exact, capped] {
        for filter in [&everyone, &of_zero] {
            assert_eq!(
                world.store.conversations(filter, &one).await.unwrap().total,
                total
            );
        }
        let one = PageRequest::new(1, Start::Page(1));
        let messages = world
            .store
            .messages(&MessageFilter::default(), &one)
            .await
            .unwrap();
        assert_eq!(messages.total, total);
        world.accept(world.outbound().between(0, count + 1)).await;
    }
    // Beyond what is counted, pages go on.
    let last = PageRequest::new(200, Start::Page(count / 200 + 1));
    let page = world.store.conversations(&everyone, &last).await.unwrap();
    assert_eq!((page.items.len(), page.next), (1, None));
}

pub(crate) async fn messages_newest_first_with_each_filter(world: &World) {
    let pending = world.accept(world.outbound()).await;
    let dispatched = world
        .settled(world.outbound().mms(&[]), |held| {
            held.tried(Outcome::Success, Disposition::Finish)
        })
        .await;
    let received = world.accept(world.inbound("p").by("other")).await;
    let email = world
        .accept(world.outbound().email("a@example.com", "b@example.com"))
        .await;
    let find = async |status, channel, provider: Option<&str>| {
        let filter = MessageFilter {
            status,
            channel,
            provider: provider.map(name),
            ..MessageFilter::default()
        };
        let page = world
            .store
            .messages(&filter, &PageRequest::new(0, Start::Page(1)))
            .await
            .unwrap();
        assert_eq!(
            (page.total, page.next),
            (Total::exact(page.items.len() as u64), None)
        );
        page.items
            .into_iter()
            .map(|message| message.id)
            .collect::<Vec<MessageId>>()
    };
    assert_eq!(
        find(None, None, None).await,
        [email, received, dispatched, pending]
    );
    assert_eq!(find(Some(Status::Pending), None, None).await, [email, pending]);
    assert_eq!(find(Some(Status::Failed), None, None).await, []);
    assert_eq!(find(None, Some(Channel::Sms), None).await, [received, pending]);
    assert_eq!(find(None, Some(Channel::Mms), None).await, [dispatched]);
    assert_eq!(find(None, None, Some(EMAIL)).await, [email]);
    assert_eq!(
        find(Some(Status::Received), Some(Channel::Sms), Some("other")).await,
        [received]
    );
    assert_eq!(
        find(Some(Status::Received), Some(Channel::Sms), Some(SMS)).await,
        []
    );
}

pub(crate) async fn a_walk_over_messages_sees_each_once(world: &World) {
    let mut expected = Vec::new();
    for _ in 0..11 {
        expected.insert(0, world.accept(world.outbound()).await);
    }
    let (mut seen, mut start) = (Vec::new(), Start::Page(1));
    loop {
        let request = PageRequest::new(3, start);
        let page = world
            .store
            .messages(&MessageFilter::default(), &request)
            .await
            .unwrap();
        seen.extend(page.items.iter().map(|message| message.id));
        assert!(seen.len() < WALK_MAX, "the walk does not end");
        world.accept(world.outbound()).await;
        match page.next {
            Some(position) => start = Start::After(position),
            None => break,
        }
    }
    assert_eq!(seen, expected);
    let second = PageRequest::new(10, Start::Page(2));
    let page = world
        .store
        .messages(&MessageFilter::default(), &second)
        .await
        .unwrap();
    assert_eq!((page.items.len(), page.next), (5, None));
}

/// Pages of large messages end early, and a walk by cursor misses none of them.
pub(crate) async fn pages_are_bounded_by_bytes(world: &World) {
    let large = "\u{e9}".repeat(PAGE_BYTES_MAX / 2 / 5);
    let mut expected = Vec::new();
    // Larger than a page, five to a page, and small ones.
    let bodies = [large.repeat(6)]
        .into_iter()
        .chain(vec![large; 12])
        .chain(vec!["small".to_owned(); 3]);
    for body in bodies {
        expected.push(world.accept(world.outbound().body(&body)).await);
    }
    let conversation = world.detail(expected[0]).await.message.thread.unwrap().0;
    let ids = |items: &[Message]| items.iter().map(|message| message.id).collect::<Vec<_>>();
    let bytes = |items: &[Message]| items.iter().map(|message| message.content.bytes()).sum::<usize>();

    let mut seen = Vec::new();
    let (mut start, mut sizes) = (Start::First, Vec::new());
    loop {
        let request = PageRequest::new(200, start);
        let page = world.store.thread(conversation, &request).await.unwrap().unwrap();
        assert!(page.items.len() == 1 || bytes(&page.items) <= PAGE_BYTES_MAX);
        assert_eq!(
            (page.total, page.is_cut(&request)),
            (Total::exact(16), page.next.is_some())
        );
        sizes.push(page.items.len());
        seen.extend(ids(&page.items));
        let Some(next) = page.next else { break };
        start = Start::After(next);
    }
    assert_eq!((&seen, &sizes[..]), (&expected, &[1, 5, 5, 5][..]));

    expected.reverse();
    for filter in [
        MessageFilter::default(),
        MessageFilter {
            provider: Some(name(SMS)),
            ..MessageFilter::default()
        },
        MessageFilter {
            status: Some(Status::Pending),
            ..MessageFilter::default()
        },
    ] {
        let mut seen = Vec::new();
        let (mut start, mut sizes) = (Start::First, Vec::new());
        loop {
            let request = PageRequest::new(200, start);
            let page = world.store.messages(&filter, &request).await.unwrap();
            sizes.push(page.items.len());
            seen.extend(ids(&page.items));
            let Some(next) = page.next else { break };
            start = Start::After(next);
        }
        assert_eq!((&seen, &sizes[..]), (&expected, &[7, 5, 3, 1][..]), "{filter:?}");
    }
}
