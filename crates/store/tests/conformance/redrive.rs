use std::time::Duration;

use domain::{Channel, FailureReason, MessageId, Outcome, PageRequest, Start, Status};
use trunkline_store::{Disposition, MessageFilter, Progress, RedriveFilter, RedriveTerms, Redriven};

use crate::{
    builders::{ALREADY, Draft, EMAIL, Held, NOT_YET, SMS, dead, in_place, instant, name, retry},
    world::World,
};

fn terms() -> RedriveTerms {
    in_place(NOT_YET, NOT_YET)
}

/// How many dead letters that match become pending again.
async fn redriven(world: &World, filter: &RedriveFilter, limit: u32) -> u64 {
    let batch = world.store.redrive_matching(filter, &terms(), limit).await;
    batch.unwrap().redriven
}

async fn dead_letter(world: &World, draft: Draft, reason: FailureReason) -> MessageId {
    world
        .settled(draft, |held| held.tried(Outcome::Error, dead(reason)))
        .await
}

pub(crate) async fn makes_a_dead_letter_pending_again(world: &World) {
    let id = dead_letter(world, world.outbound(), FailureReason::Exhausted).await;
    let failed = world.detail(id).await;
    assert_eq!(world.store.redrive(id, &terms()).await, Ok(Redriven::Pending));
    let detail = world.detail(id).await;
    assert_eq!(
        (detail.message.status, detail.message.failure),
        (Status::Pending, None)
    );
    assert!(
        detail
            .waiting
            .is_some_and(|waiting| waiting.due && !waiting.leased)
    );
    assert_eq!(detail.attempts, failed.attempts);
}

pub(crate) async fn only_dead_letters(world: &World) {
    let pending = world.accept(world.outbound()).await;
    let leased = world.accept(world.outbound().leased(NOT_YET)).await;
    let dispatched = world
        .settled(world.outbound(), |held| {
            held.tried(Outcome::Success, Disposition::Finish)
        })
        .await;
    let received = world.accept(world.inbound("p")).await;
    for id in [pending, leased, dispatched, received] {
        let before = world.detail(id).await;
        assert_eq!(world.store.redrive(id, &terms()).await, Ok(Redriven::NotFailed));
        assert_eq!(world.detail(id).await, before);
    }
    let unknown = world.mint().0;
    assert_eq!(
        world.store.redrive(unknown, &terms()).await,
        Ok(Redriven::NotFound)
    );
    let all = RedriveFilter::default();
    assert_eq!(redriven(world, &all, 10).await, 0);
    let failed = dead_letter(world, world.outbound(), FailureReason::Poison).await;
    assert_eq!(world.store.redrive(failed, &terms()).await, Ok(Redriven::Pending));
    assert_eq!(
        world.store.redrive(failed, &terms()).await,
        Ok(Redriven::NotFailed)
    );
}

pub(crate) async fn attempts_go_on_counting(world: &World) {
    let id = world
        .settled(world.outbound(), |held| {
            let mut settlement = held.tried(Outcome::Timeout, dead(FailureReason::Exhausted));
            settlement.progress.rate_limited_in_a_row = 2;
            settlement.progress.panics = 2;
            settlement.progress.not_taken = 2;
            settlement
        })
        .await;
    world.store.redrive(id, &terms()).await.unwrap();
    let held = world.claim_one(SMS, NOT_YET).await;
    let progress = Progress {
        attempts: 1,
        ..Progress::default()
    };
    assert_eq!(held.progress, progress);
    assert!(held.token > trunkline_store::FIRST_LEASE);
    world
        .settle(held.tried(Outcome::Success, Disposition::Finish))
        .await;
    let detail = world.detail(id).await;
    assert_eq!(detail.message.status, Status::Dispatched);
    let numbers: Vec<u32> = detail.attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2]);
}

pub(crate) async fn has_a_fresh_deadline_by_channel(world: &World) {
    let email = |world: &World| world.outbound().email("a@example.com", "b@example.com");
    let late = [
        world.outbound().deadline(ALREADY),
        world.outbound().mms(&[]).deadline(ALREADY),
        email(world).deadline(ALREADY),
    ];
    for draft in late {
        world.accept(draft).await;
    }
    let dead = world.sweep(&[SMS, EMAIL], 10).await;
    assert_eq!(dead.len(), 3);
    let terms = in_place(NOT_YET * 2, ALREADY);
    world.store.redrive(dead[0].id, &terms).await.unwrap();
    let rest = RedriveFilter::default();
    let batch = world.store.redrive_matching(&rest, &terms, 10).await.unwrap();
    assert_eq!(batch.redriven, 2);
    let left = |claimed: Vec<trunkline_store::Claimed>| {
        claimed
            .into_iter()
            .map(|claimed| claimed.deadline_in)
            .collect::<Vec<_>>()
    };
    let phones = left(world.claim(SMS, 10, NOT_YET).await);
    assert!(phones.len() == 2 && phones.iter().all(|left| *left > NOT_YET && *left <= NOT_YET * 2));
    assert_eq!(left(world.claim(EMAIL, 10, NOT_YET).await), [Duration::ZERO]);
}

pub(crate) async fn matching_each_filter(world: &World) {
    let email = |world: &World| world.outbound().email("a@example.com", "b@example.com");
    let sms = dead_letter(world, world.outbound(), FailureReason::Exhausted).await;
    let mms = dead_letter(world, world.outbound().mms(&[]), FailureReason::Rejected).await;
    let mail = dead_letter(world, email(world), FailureReason::Exhausted).await;
    let other = dead_letter(world, email(world).by("other"), FailureReason::Deadline).await;
    let pending = world.accept(world.outbound()).await;
    let waiting = world
        .settled(world.outbound(), |held| {
            held.tried(Outcome::Error, retry(NOT_YET))
        })
        .await;
    let none = RedriveFilter::default();
    let past = Some(instant(0));
    // Far enough for the clock of any machine this runs on.
    let future = Some(instant(3_600_000_000));
    let cases: [(RedriveFilter, &[MessageId]); 9] = [
        (
            RedriveFilter {
                provider: Some(name(SMS)),
                ..none.clone()
            },
            &[sms, mms],
        ),
        (
            RedriveFilter {
                provider: Some(name("nobody")),
                ..none.clone()
            },
            &[],
        ),
        (
            RedriveFilter {
                channel: Some(Channel::Email),
                ..none.clone()
            },
            &[mail, other],
        ),
        (
            RedriveFilter {
                channel: Some(Channel::Mms),
                ..none.clone()
            },
            &[mms],
        ),
        (
            RedriveFilter {
                reason: Some(FailureReason::Exhausted),
                ..none.clone()
            },
            &[sms, mail],
        ),
        (
            RedriveFilter {
                failed_before: past,
                ..none.clone()
            },
            &[],
        ),
        (
            RedriveFilter {
                failed_before: future,
                ..none.clone()
            },
            &[sms, mms, mail, other],
        ),
        (
            RedriveFilter {
                provider: Some(name(EMAIL)),
                channel: Some(Channel::Email),
                reason: Some(FailureReason::Exhausted),
                failed_before: future,
            },
            &[mail],
        ),
        (none, &[sms, mms, mail, other]),
    ];
    for (filter, expected) in cases {
        let redriven = redriven(world, &filter, 10).await;
        assert_eq!(redriven, expected.len() as u64, "{filter:?}");
        for id in [sms, mms, mail, other] {
            let status = world.status(id).await;
            let is_expected = expected.contains(&id);
            assert_eq!(status == Status::Pending, is_expected, "{filter:?}");
        }
        // Back to the grave, for the same reasons as before.
        for provider in [SMS, EMAIL, "other"] {
            for claimed in world.claim(provider, 10, NOT_YET).await {
                let held = crate::builders::Held::from(&claimed);
                let reason = match held.id {
                    id if id == mms => FailureReason::Rejected,
                    id if id == other => FailureReason::Deadline,
                    id if id == pending => {
                        world.release(&[(id, held.token)]).await;
                        continue;
                    }
                    _ => FailureReason::Exhausted,
                };
                world.settle(held.untried(dead(reason))).await;
            }
        }
    }
    assert!(
        world
            .detail(waiting)
            .await
            .waiting
            .is_some_and(|waiting| !waiting.due)
    );
}

pub(crate) async fn matching_takes_the_first_accepted_up_to_the_limit(world: &World) {
    let drafts = [(); 5].map(|()| world.outbound());
    let mut ids = Vec::new();
    for draft in drafts.into_iter().rev() {
        ids.push(dead_letter(world, draft, FailureReason::Exhausted).await);
    }
    ids.sort_unstable();
    let all = RedriveFilter::default();
    assert_eq!(redriven(world, &all, 2).await, 2);
    for (place, id) in ids.iter().enumerate() {
        assert_eq!(world.status(*id).await == Status::Pending, place < 2);
    }
    assert_eq!(redriven(world, &all, 10).await, 3);
}

/// The provider that served its channel may be gone for good: that is why it failed.
pub(crate) async fn a_kept_provider_stays(world: &World) {
    let mut terms = terms();
    terms.routes.insert(Channel::Sms, name("new"));
    terms.kept = vec![name("fixed"), name("other")];
    let mut ids = Vec::new();
    for provider in ["fixed", SMS, "fixed", SMS] {
        ids.push(dead_letter(world, world.outbound().by(provider), FailureReason::Exhausted).await);
    }
    for id in &ids[..2] {
        assert_eq!(world.store.redrive(*id, &terms).await, Ok(Redriven::Pending));
    }
    let rest = RedriveFilter::default();
    let batch = world.store.redrive_matching(&rest, &terms, 10).await.unwrap();
    assert_eq!(batch.redriven, 2);
    for (id, provider) in ids.iter().zip(["fixed", "new", "fixed", "new"]) {
        assert_eq!(world.detail(*id).await.message.provider, Some(name(provider)));
    }
    assert_eq!(world.claim("fixed", 10, NOT_YET).await.len(), 2);
}

pub(crate) async fn goes_to_the_provider_that_serves_its_channel_now(world: &World) {
    let by_old = |world: &World| world.outbound().by("old");
    let one = dead_letter(world, by_old(world), FailureReason::NoProvider).await;
    let other = dead_letter(world, by_old(world), FailureReason::NoProvider).await;
    let mail = world.outbound().email("a@example.com", "b@example.com").by("old");
    let mail = dead_letter(world, mail, FailureReason::NoProvider).await;
    let mut terms = terms();
    terms.routes.insert(Channel::Sms, name(SMS));
    assert_eq!(world.store.redrive(one, &terms).await, Ok(Redriven::Pending));
    let of_old = RedriveFilter {
        provider: Some(name("old")),
        ..RedriveFilter::default()
    };
    let batch = world.store.redrive_matching(&of_old, &terms, 10).await.unwrap();
    assert_eq!(batch.redriven, 2);
    for (id, provider) in [(one, SMS), (other, SMS), (mail, "old")] {
        let message = world.detail(id).await.message;
        assert_eq!(message.provider, Some(name(provider)));
    }
    let claimed = world.claim(SMS, 10, NOT_YET).await;
    let ids: Vec<MessageId> = claimed.iter().map(|claimed| claimed.leased.id).collect();
    assert_eq!(ids, [one, other]);
    let held = Held::from(&claimed[0]);
    world
        .settle(held.tried(Outcome::Success, Disposition::Finish))
        .await;
    let detail = world.detail(one).await;
    assert_eq!(detail.message.provider, Some(name(SMS)));
    let providers: Vec<&str> = detail
        .attempts
        .iter()
        .map(|attempt| attempt.provider.as_str())
        .collect();
    assert_eq!(providers, ["old", SMS]);
    let listed = MessageFilter {
        provider: Some(name("old")),
        ..MessageFilter::default()
    };
    let page = PageRequest::new(10, Start::Page(1));
    let page = world.store.messages(&listed, &page).await.unwrap();
    assert_eq!(
        page.items.iter().map(|message| message.id).collect::<Vec<_>>(),
        [mail]
    );
}

/// What fails again while many are redriven failed after the first batch, by the database's own clock.
pub(crate) async fn matching_returns_the_databases_time(world: &World) {
    for _ in 0..3 {
        dead_letter(world, world.outbound(), FailureReason::Exhausted).await;
    }
    world.pass(Duration::from_secs(1)).await;
    let mut all = RedriveFilter::default();
    let first = world.store.redrive_matching(&all, &terms(), 2).await.unwrap();
    assert_eq!(first.redriven, 2);
    for claimed in world.claim(SMS, 10, NOT_YET).await {
        let again = Held::from(&claimed).tried(Outcome::Error, dead(FailureReason::Exhausted));
        world.settle(again).await;
    }
    all.failed_before = Some(first.at);
    assert_eq!(redriven(world, &all, 10).await, 1);
}
