use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use domain::{FailureReason, LeaseToken, MessageId, Outcome};
use tokio::task::JoinSet;
use trunkline_store::{Accept, ClaimLimits, Claimed, Claims, FIRST_LEASE, Progress};

use crate::{
    builders::{ALREADY, EMAIL, Held, NOT_YET, SMS, dead, name, retry, up_to},
    world::World,
};

fn ids(claimed: &[Claimed]) -> Vec<MessageId> {
    claimed.iter().map(|claimed| claimed.leased.id).collect()
}

pub(crate) async fn leases_due_entries_of_one_provider(world: &World) {
    let sms = world.accept(world.outbound()).await;
    let email = world
        .accept(world.outbound().email("a@example.com", "b@example.com"))
        .await;
    let waiting = world
        .settled(world.outbound(), |held| {
            held.tried(Outcome::Error, retry(NOT_YET))
        })
        .await;
    let due_again = world
        .settled(world.outbound(), |held| {
            held.tried(Outcome::Error, retry(ALREADY))
        })
        .await;
    let failed = world.outbound();
    let dead_letter = |held: &Held| held.tried(Outcome::Error, dead(FailureReason::Rejected));
    world.settled(failed, dead_letter).await;
    assert_eq!(world.claim("nobody", 10, NOT_YET).await, []);
    assert_eq!(ids(&world.claim(SMS, 10, NOT_YET).await), [sms, due_again]);
    assert_eq!(ids(&world.claim(EMAIL, 10, NOT_YET).await), [email]);
    assert!(!world.detail(waiting).await.waiting.unwrap().leased);
}

pub(crate) async fn the_entries_due_longest_come_first(world: &World) {
    let drafts = [(); 4].map(|()| world.outbound());
    let [first, second, third, fourth] = drafts;
    let mut ids_by_due = Vec::new();
    // The ids say nothing about the order in which they become due.
    for draft in [third, first, fourth, second] {
        ids_by_due.push(world.accept(draft).await);
        world.clock.advance(Duration::from_millis(1));
    }
    for due in ids_by_due.chunks(2) {
        let claimed: BTreeSet<_> = ids(&world.claim(SMS, 2, NOT_YET).await).into_iter().collect();
        assert_eq!(claimed, due.iter().copied().collect());
    }
    assert_eq!(world.claim(SMS, 2, NOT_YET).await, []);
    assert_eq!(world.claim(SMS, 0, NOT_YET).await, []);
}

pub(crate) async fn carries_the_message_and_its_conversation(world: &World) {
    world.accept(world.outbound().between(5, 6)).await;
    world.claim_one(SMS, NOT_YET).await;
    let url = "https://example.com/\u{e9}";
    let accept = world.outbound().mms(&[url, url]).body("caf\u{e9}\r\n").accept();
    world.accept_all(std::slice::from_ref(&accept)).await;
    let claimed = world.claim(SMS, 10, NOT_YET).await;
    let [
        Claimed {
            leased,
            lease_expired,
            ..
        },
    ] = &claimed[..]
    else {
        panic!("{claimed:?}")
    };
    let (conversation_id, _) = world.detail(accept.id).await.message.thread.unwrap();
    assert_eq!((leased.id, leased.conversation_id), (accept.id, conversation_id));
    assert_eq!(leased.content, accept.message.content);
    assert_eq!(
        (leased.token, leased.progress),
        (FIRST_LEASE, Progress::default())
    );
    assert!(!lease_expired);
}

pub(crate) async fn a_leased_entry_is_not_claimed_again(world: &World) {
    let id = world.accept(world.outbound()).await;
    world.claim_one(SMS, NOT_YET).await;
    assert_eq!(
        world.another_node().claim(&name(SMS), up_to(10), ALREADY).await,
        Ok(Claims::default())
    );
    assert_eq!(world.claim(SMS, 10, ALREADY).await, []);
    let waiting = world.detail(id).await.waiting.unwrap();
    assert!(waiting.leased && waiting.due);
}

pub(crate) async fn every_lease_has_a_greater_token(world: &World) {
    let id = world.accept(world.outbound()).await;
    let mut last = LeaseToken(0);
    for round in 0..6 {
        let held = world.claim_one(SMS, ALREADY).await;
        assert!(held.token > last);
        last = held.token;
        match round % 3 {
            0 => assert_eq!(world.release(&[(id, held.token)]).await, 1),
            1 => drop(world.settle(held.tried(Outcome::Error, retry(ALREADY))).await),
            _ => {}
        }
    }
}

pub(crate) async fn an_expired_lease_is_recorded_as_unknown(world: &World) {
    let id = world.accept(world.outbound()).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    world
        .settle(held.tried(Outcome::RateLimited, retry(ALREADY)))
        .await;
    let vanishing = world.claim_one(SMS, ALREADY).await;
    assert_eq!(vanishing.progress.rate_limited_in_a_row, 1);
    assert_eq!(world.detail(id).await.attempts.len(), 1);

    let claims = world
        .another_node()
        .claim(&name(SMS), up_to(10), NOT_YET)
        .await
        .unwrap();
    let claimed = claims.entries;
    assert!(claimed[0].lease_expired);
    assert!(claimed[0].leased.token > vanishing.token);
    let progress = Progress {
        attempts: 2,
        lost: 1,
        counted: 0,
        rate_limited_in_a_row: 0,
        panics: 0,
        not_taken: 0,
        unsure: true,
    };
    assert_eq!(claimed[0].leased.progress, progress);
    let attempts = world.detail(id).await.attempts;
    let unknown = &attempts[1];
    assert_eq!((attempts.len(), unknown.number), (2, 2));
    assert_eq!(unknown.outcome, Outcome::Unknown);
    assert_eq!(unknown.error_code.as_ref().unwrap().as_str(), "lease_expired");
    assert_eq!(
        (unknown.provider.as_str(), unknown.latency),
        (SMS, Duration::ZERO)
    );
    assert_eq!(unknown.late_outcome, None);
}

pub(crate) async fn attempts_of_expired_leases_are_numbered_without_gaps(world: &World) {
    let id = world.accept(world.outbound()).await;
    for vanished in 0..4 {
        let claimed = world.claim(SMS, 1, ALREADY).await;
        assert_eq!(claimed[0].lease_expired, vanished > 0);
        assert_eq!(claimed[0].leased.progress.attempts, vanished);
        assert_eq!(claimed[0].leased.progress.counted, 0);
    }
    let numbers: Vec<u32> = world
        .detail(id)
        .await
        .attempts
        .iter()
        .map(|attempt| attempt.number)
        .collect();
    assert_eq!(numbers, [1, 2, 3]);
}

pub(crate) async fn concurrent_claims_never_share_an_entry(world: &World) {
    let batch: Vec<Accept> = (0..200).map(|_| world.outbound().accept()).collect();
    world.accept_all(&batch).await;
    let nodes = world.two_nodes().await;
    let mut workers = JoinSet::new();
    for worker in 0..8 {
        let node = Arc::clone(&nodes[worker % 2]);
        workers.spawn(async move {
            let mut mine = Vec::new();
            for _ in 0..10 {
                let claimed = node.claim(&name(SMS), up_to(7), NOT_YET).await.unwrap().entries;
                assert!(claimed.len() <= 7);
                mine.extend(ids(&claimed));
            }
            mine
        });
    }
    let mut all: Vec<MessageId> = workers.join_all().await.into_iter().flatten().collect();
    all.sort_unstable();
    // A claim skips entries that another claim has locked, so some may be left.
    all.extend(ids(&world.claim(SMS, 200, NOT_YET).await));
    all.sort_unstable();
    assert!(all.iter().copied().eq(batch.iter().map(|accept| accept.id)));
}

pub(crate) async fn concurrent_claims_of_expired_leases_record_each_attempt_once(world: &World) {
    let batch: Vec<Accept> = (0..3).map(|_| world.outbound().accept()).collect();
    world.accept_all(&batch).await;
    let nodes = world.two_nodes().await;
    let mut workers = JoinSet::new();
    for worker in 0..8 {
        let node = Arc::clone(&nodes[worker % 2]);
        workers.spawn(async move {
            let mut held = Vec::new();
            for _ in 0..40 {
                let claimed = node.claim(&name(SMS), up_to(20), ALREADY).await.unwrap().entries;
                held.extend(claimed.iter().map(Held::from));
            }
            held
        });
    }
    let mut tokens: BTreeMap<MessageId, Vec<Held>> = BTreeMap::new();
    for held in workers.join_all().await.into_iter().flatten() {
        tokens.entry(held.id).or_default().push(held);
    }
    assert_eq!(tokens.len(), batch.len());
    for (id, mut leases) in tokens {
        leases.sort_unstable_by_key(|held| held.token);
        for (earlier, held) in leases.iter().enumerate() {
            assert_eq!(held.token.0, earlier as i64 + 1);
            assert_eq!(held.progress.attempts, earlier as u32);
        }
        let attempts = world.detail(id).await.attempts;
        let numbers = attempts.iter().map(|attempt| attempt.number as usize);
        assert!(numbers.eq(1..leases.len()));
    }
}

pub(crate) async fn an_entry_can_be_leased_while_it_is_accepted(world: &World) {
    let ours = world.accept(world.outbound().leased(NOT_YET)).await;
    let vanishing = world.accept(world.outbound().leased(ALREADY)).await;
    let claimed = world.claim(SMS, 10, NOT_YET).await;
    assert_eq!(ids(&claimed), [vanishing]);
    assert!(claimed[0].lease_expired && claimed[0].leased.token > FIRST_LEASE);
    assert!(world.detail(ours).await.waiting.unwrap().leased);
    assert_eq!(world.release(&[(ours, FIRST_LEASE)]).await, 1);
    assert_eq!(world.claim_one(SMS, NOT_YET).await.id, ours);
}

pub(crate) async fn returns_the_time_until_the_deadline(world: &World) {
    world.accept(world.outbound().deadline(ALREADY)).await;
    world.accept(world.outbound().deadline(NOT_YET)).await;
    // A claim also returns entries past their deadline: their holder decides.
    let claimed = world.claim(SMS, 10, NOT_YET).await;
    assert_eq!(claimed[0].deadline_in, Duration::ZERO);
    assert!(claimed[1].deadline_in <= NOT_YET && claimed[1].deadline_in > NOT_YET / 2);
}

/// What is not leased stays due, and comes with the next claims, in its turn.
pub(crate) async fn takes_no_more_bytes_than_asked(world: &World) {
    const KIBIBYTE: usize = 1 << 10;
    for kibibytes in [3, 3, 3, 20, 1, 1, 20] {
        let body = "x".repeat(kibibytes * KIBIBYTE);
        world.accept(world.outbound().body(&body)).await;
    }
    let limits = ClaimLimits {
        entries: 100,
        bytes: 10 * KIBIBYTE,
    };
    let mut claims = Vec::new();
    while claims.last().is_none_or(|(_, cut_short)| *cut_short) {
        let claimed = world.store.claim(&name(SMS), limits, NOT_YET).await.unwrap();
        let bodies = claimed
            .entries
            .iter()
            .map(|claimed| claimed.leased.content.body.as_str());
        let kibibytes: Vec<usize> = bodies.map(|body| body.len() / KIBIBYTE).collect();
        claims.push((kibibytes, claimed.cut_short));
    }
    // The large ones come alone.
    let expected = [
        (vec![3, 3, 3], true),
        (vec![20], true),
        (vec![1, 1], true),
        (vec![20], false),
    ];
    assert_eq!(claims, expected);
    let nothing = world.store.claim(&name(SMS), limits, NOT_YET).await.unwrap();
    assert!(nothing.entries.is_empty() && !nothing.cut_short);
}
