use domain::{Channel, ErrorCode, Failure, FailureReason, Outcome, Status};
use trunkline_store::{DeadLetter, Disposition, Settled};

use crate::{
    builders::{ALREADY, EMAIL, Held, NOT_YET, SMS, name, retry},
    world::World,
};

pub(crate) async fn buries_what_is_past_its_deadline(world: &World) {
    let late = world.accept(world.outbound().deadline(ALREADY)).await;
    let in_time = world.accept(world.outbound()).await;
    let dead_letter = DeadLetter {
        id: late,
        provider: name(SMS),
        channel: Channel::Sms,
        reason: FailureReason::Deadline,
        vanished: false,
    };
    let serving = [name(SMS), name(EMAIL)];
    assert_eq!(world.store.sweep(&serving, 10).await, Ok(vec![dead_letter]));
    assert_eq!(world.store.sweep(&serving, 10).await, Ok(vec![]));
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

pub(crate) async fn buries_what_nobody_serves(world: &World) {
    // Waiting for its next try makes no difference, and nor does a deadline that has passed as well.
    let waiting = world
        .settled(world.outbound(), |held| {
            held.tried(Outcome::Error, retry(NOT_YET))
        })
        .await;
    let late = world.accept(world.outbound().deadline(ALREADY)).await;
    let email = world
        .accept(world.outbound().email("a@example.com", "b@example.com"))
        .await;
    let buried = world.store.sweep(&[name(EMAIL)], 10).await.unwrap();
    let dead_letter = |id| DeadLetter {
        id,
        provider: name(SMS),
        channel: Channel::Sms,
        reason: FailureReason::NoProvider,
        vanished: false,
    };
    assert_eq!(buried, [waiting, late].map(dead_letter));
    assert_eq!(world.status(email).await, Status::Pending);
    assert_eq!(world.store.sweep(&[], 10).await.unwrap()[0].id, email);
    assert_eq!(world.messages().await.len(), 3);
}

pub(crate) async fn leaves_what_is_leased(world: &World) {
    let held = Held::at_accept(
        world
            .accept(world.outbound().deadline(ALREADY).leased(NOT_YET))
            .await,
    );
    assert_eq!(world.store.sweep(&[], 10).await, Ok(vec![]));
    let settlement = held.tried(Outcome::Success, Disposition::Finish);
    assert_eq!(world.settle(settlement).await, Settled::Applied);
}

/// Nobody claims for a provider that is gone, so nobody else would ever end these messages.
pub(crate) async fn buries_what_a_vanished_worker_held(world: &World) {
    let vanished = Held::at_accept(world.accept(world.outbound().leased(ALREADY)).await);
    let dead_letter = DeadLetter {
        id: vanished.id,
        provider: name(SMS),
        channel: Channel::Sms,
        reason: FailureReason::NoProvider,
        vanished: true,
    };
    assert_eq!(world.store.sweep(&[], 10).await, Ok(vec![dead_letter]));
    let detail = world.detail(vanished.id).await;
    let code = Some(ErrorCode::of("worker_vanished"));
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

    let deadlines = trunkline_store::Deadlines {
        sms: NOT_YET,
        email: NOT_YET,
    };
    world.store.redrive(vanished.id, deadlines).await.unwrap();
    let held = world.claim_one(SMS, NOT_YET).await;
    assert_eq!((held.progress.attempts, held.progress.counted), (1, 0));
}

pub(crate) async fn keeps_the_last_error(world: &World) {
    let draft = world.outbound().deadline(ALREADY);
    let id = world
        .settled(draft, |held| held.tried(Outcome::Error, retry(NOT_YET)))
        .await;
    world.store.sweep(&[name(SMS)], 10).await.unwrap();
    let failure = Failure {
        reason: FailureReason::Deadline,
        error_code: Some(ErrorCode::of("carrier_down")),
    };
    assert_eq!(world.detail(id).await.message.failure, Some(failure));
}

pub(crate) async fn buries_no_more_than_asked(world: &World) {
    for _ in 0..5 {
        world.accept(world.outbound().deadline(ALREADY)).await;
    }
    let mut swept = Vec::new();
    for _ in 0..4 {
        let buried = world.store.sweep(&[name(SMS)], 2).await.unwrap();
        assert!(buried.is_sorted_by_key(|dead_letter| dead_letter.id));
        swept.push(buried.len());
    }
    assert_eq!(swept, [2, 2, 1, 0]);
}
