use std::time::Duration;

use domain::{Channel, ErrorCode, Failure, FailureReason, MessageId, Outcome, Status};
use trunkline_store::{DeadLetter, Disposition, Settled, UnservedRule};

use crate::{
    builders::{ALREADY, EMAIL, Held, NOT_YET, SMS, in_place, name, retry},
    world::World,
};

pub(crate) async fn dead_letters_entries_past_their_deadline(world: &World) {
    let late = world.accept(world.outbound().deadline(ALREADY)).await;
    let in_time = world.accept(world.outbound()).await;
    let dead_letter = DeadLetter {
        id: late,
        provider: name(SMS),
        channel: Channel::Sms,
        reason: FailureReason::Deadline,
        lease_expired: false,
    };
    let serving = [SMS, EMAIL];
    assert_eq!(world.sweep(&serving, 10).await, [dead_letter]);
    assert_eq!(world.sweep(&serving, 10).await, []);
    let detail = world.detail(late).await;
    let failure = Failure {
        reason: FailureReason::Deadline,
        error_code: None,
    };
    assert_eq!(detail.message.status, Status::Failed);
    assert_eq!(detail.message.failure, Some(failure));
    assert_eq!((detail.attempts, detail.waiting), (vec![], None));
    assert_eq!(world.status(in_time).await, Status::Pending);
    assert_eq!(world.claim_one(SMS, NOT_YET).await.id, in_time);
}

pub(crate) async fn dead_letters_entries_of_unserved_providers(world: &World) {
    // One that waits for its next try would not be sent yet. A deadline that has passed as well makes no difference.
    let waiting = world
        .settled(world.outbound(), |held| {
            held.tried(Outcome::Error, retry(NOT_YET))
        })
        .await;
    let due = world.accept(world.outbound()).await;
    let late = world.accept(world.outbound().deadline(ALREADY)).await;
    let email = world
        .accept(world.outbound().email("a@example.com", "b@example.com"))
        .await;
    let dead = world.sweep(&[EMAIL], 10).await;
    let dead_letter = |id| DeadLetter {
        id,
        provider: name(SMS),
        channel: Channel::Sms,
        reason: FailureReason::NoProvider,
        lease_expired: false,
    };
    assert_eq!(dead, [due, late].map(dead_letter));
    assert_eq!(world.status(waiting).await, Status::Pending);
    assert_eq!(world.status(email).await, Status::Pending);
    assert_eq!(world.sweep(&[], 10).await[0].id, email);
    assert_eq!(world.messages().await.len(), 4);
}

pub(crate) async fn leaves_leased_entries(world: &World) {
    let held = Held::at_accept(
        world
            .accept(world.outbound().deadline(ALREADY).leased(NOT_YET))
            .await,
    );
    assert_eq!(world.sweep(&[], 10).await, []);
    let settlement = held.tried(Outcome::Success, Disposition::Finish);
    assert_eq!(world.settle(settlement).await, Settled::Applied);
}

/// No claim ends the messages of a provider that no node serves.
pub(crate) async fn dead_letters_entries_with_expired_leases(world: &World) {
    let vanished = Held::at_accept(world.accept(world.outbound().leased(ALREADY)).await);
    let dead_letter = DeadLetter {
        id: vanished.id,
        provider: name(SMS),
        channel: Channel::Sms,
        reason: FailureReason::NoProvider,
        lease_expired: true,
    };
    assert_eq!(world.sweep(&[], 10).await, [dead_letter]);
    let detail = world.detail(vanished.id).await;
    let code = Some(ErrorCode::of("lease_expired"));
    assert_eq!(detail.attempts.len(), 1);
    assert_eq!(
        (
            detail.attempts[0].number,
            detail.attempts[0].outcome,
            &detail.attempts[0].error_code
        ),
        (1, Outcome::Unknown, &code)
    );
    let failure = Failure {
        reason: FailureReason::NoProvider,
        error_code: code,
    };
    assert_eq!(
        (detail.message.status, detail.message.failure),
        (Status::Failed, Some(failure))
    );

    let late = vanished.tried(Outcome::Success, Disposition::Finish);
    assert_eq!(world.settle(late).await, Settled::LeaseLost);
    let detail = world.detail(vanished.id).await;
    assert_eq!(detail.attempts[0].late_outcome, Some(Outcome::Success));
    assert_eq!(detail.message.status, Status::Failed);
    let depths = world.store.queue_depths().await.unwrap();
    assert_eq!((depths[0].leased, depths[0].dead), (0, 1));

    let terms = in_place(NOT_YET, NOT_YET);
    world.store.redrive(vanished.id, &terms).await.unwrap();
    let held = world.claim_one(SMS, NOT_YET).await;
    assert_eq!((held.progress.attempts, held.progress.counted), (1, 0));
}

pub(crate) async fn keeps_the_last_error(world: &World) {
    let draft = world.outbound().deadline(ALREADY);
    let id = world
        .settled(draft, |held| held.tried(Outcome::Error, retry(NOT_YET)))
        .await;
    world.sweep(&[SMS], 10).await;
    let failure = Failure {
        reason: FailureReason::Deadline,
        error_code: Some(ErrorCode::of("carrier_down")),
    };
    assert_eq!(world.detail(id).await.message.failure, Some(failure));
}

pub(crate) async fn dead_letters_no_more_than_the_limit(world: &World) {
    for _ in 0..5 {
        world.accept(world.outbound().deadline(ALREADY)).await;
    }
    let mut swept = Vec::new();
    for _ in 0..4 {
        let dead = world.sweep(&[SMS], 2).await;
        assert!(dead.is_sorted_by_key(|dead_letter| dead_letter.id));
        swept.push(dead.len());
    }
    assert_eq!(swept, [2, 2, 1, 0]);
}

/// How long a provider must have been without a node here.
const RULE: UnservedRule = UnservedRule {
    after: Duration::from_secs(300),
    gap_max: Duration::from_secs(30),
};
/// The pause between two announcements.
const STEP: Duration = Duration::from_secs(20);

/// A node without the provider of SMS announces and sweeps. Returns the dead letters.
async fn look(world: &World) -> Vec<MessageId> {
    let serving = [name(EMAIL)];
    world.store.announce(&serving, RULE.gap_max).await.unwrap();
    let dead = world.store.sweep(&serving, RULE, 10).await.unwrap();
    assert!(dead.iter().all(|one| one.reason == FailureReason::NoProvider));
    dead.iter().map(|one| one.id).collect()
}

/// Looks again and again while time passes. No entry dies.
async fn look_in_vain(world: &World, time: Duration) {
    let mut passed = Duration::ZERO;
    while passed < time {
        assert_eq!(look(world).await, [], "after {passed:?}");
        world.pass(STEP).await;
        passed += STEP;
    }
}

pub(crate) async fn dead_letters_entries_of_providers_unserved_for_long(world: &World) {
    let id = world.accept(world.outbound()).await;
    look_in_vain(world, RULE.after).await;
    assert_eq!(look(world).await, [id]);
    assert_eq!(look(world).await, []);
}

pub(crate) async fn leaves_entries_that_another_node_serves(world: &World) {
    let id = world.accept(world.outbound()).await;
    let other = world.another_node();
    for _ in 0..3 {
        look_in_vain(world, RULE.after - STEP).await;
        other.announce(&[name(SMS)], RULE.gap_max).await.unwrap();
    }
    assert_eq!(world.status(id).await, Status::Pending);
    look_in_vain(world, RULE.after).await;
    assert_eq!(look(world).await, [id], "the other node is gone");
}

pub(crate) async fn does_not_count_the_time_in_which_no_node_looked(world: &World) {
    let id = world.accept(world.outbound()).await;
    look_in_vain(world, RULE.after - STEP).await;
    world.pass(RULE.gap_max * 4).await;
    // A sweep that was on its way when all nodes froze changes nothing either.
    assert_eq!(world.store.sweep(&[], RULE, 10).await, Ok(vec![]));
    look_in_vain(world, RULE.after).await;
    assert_eq!(look(world).await, [id]);
}

/// A node that has just been given the provider accepts and redrives messages before others know that it has.
pub(crate) async fn leaves_entries_not_due_for_long(world: &World) {
    let old = world.accept(world.outbound()).await;
    look_in_vain(world, RULE.after).await;
    let waiting = world
        .settled(world.outbound(), |held| held.tried(Outcome::Error, retry(STEP)))
        .await;
    let fresh = world.accept(world.outbound()).await;
    assert_eq!(look(world).await, [old]);
    world
        .store
        .redrive(old, &in_place(NOT_YET, NOT_YET))
        .await
        .unwrap();
    look_in_vain(world, RULE.after).await;
    assert_eq!(look(world).await, [old, fresh]);
    world.pass(STEP).await;
    assert_eq!(look(world).await, [waiting]);
}
