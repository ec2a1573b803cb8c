use std::time::Duration;

use domain::{Attempt, ErrorCode, Failure, FailureReason, MessageId, Outcome, Status};
use trunkline_store::{Disposition, Progress, Redriven, Settled};

use crate::{
    builders::{
        ALREADY, EMAIL, Held, NOT_YET, PROVIDER_ID, SMS, dead, in_place, instant, name, reroute, retry,
    },
    world::World,
};

fn attempt(number: u32, outcome: Outcome) -> Attempt {
    Attempt {
        number,
        provider: name(SMS),
        outcome,
        error_code: (outcome != Outcome::Success).then(|| ErrorCode::of("carrier_down")),
        occurred_at: instant(7),
        // Kept in whole milliseconds.
        latency: Duration::from_millis(12),
        late_outcome: None,
        provider_message_id: (outcome == Outcome::Success).then(|| PROVIDER_ID.parse().unwrap()),
    }
}

pub(crate) async fn finish_dispatches_and_leaves_the_queue(world: &World) {
    let id = world.accept(world.outbound()).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    assert_eq!(
        world
            .settle(held.tried(Outcome::Success, Disposition::Finish))
            .await,
        Settled::Applied
    );
    let detail = world.detail(id).await;
    assert_eq!(detail.message.status, Status::Dispatched);
    assert_eq!((detail.message.failure, detail.waiting), (None, None));
    assert_eq!(detail.attempts, [attempt(1, Outcome::Success)]);
    assert_eq!(world.store.queue_depths().await, Ok(vec![]));
    assert_eq!(world.sweep(&[], 10).await, []);
}

pub(crate) async fn retry_waits_and_keeps_the_progress(world: &World) {
    let id = world.accept(world.outbound()).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    let mut settlement = held.tried(Outcome::Error, retry(ALREADY));
    settlement.progress = Progress {
        attempts: 1,
        lost: 0,
        counted: 0,
        rate_limited_in_a_row: 3,
        panics: 2,
        not_taken: 4,
        unsure: false,
    };
    let progress = settlement.progress;
    assert_eq!(world.settle(settlement).await, Settled::Applied);
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

    let held = world.claim_one(SMS, NOT_YET).await;
    assert_eq!(held.progress, progress);
    world.settle(held.tried(Outcome::Timeout, retry(NOT_YET))).await;
    assert_eq!(world.claim(SMS, 10, NOT_YET).await, []);
    let detail = world.detail(id).await;
    assert!(
        detail
            .waiting
            .is_some_and(|waiting| !waiting.due && !waiting.leased)
    );
    assert_eq!(
        detail.attempts,
        [attempt(1, Outcome::Error), attempt(2, Outcome::Timeout)]
    );
}

pub(crate) async fn a_dead_letter_is_failed_and_kept(world: &World) {
    for reason in FailureReason::ALL {
        let id = world
            .settled(world.outbound(), |held| held.tried(Outcome::Error, dead(*reason)))
            .await;
        let detail = world.detail(id).await;
        assert_eq!(detail.message.status, Status::Failed);
        let failure = Failure {
            reason: *reason,
            error_code: Some(ErrorCode::of("carrier_down")),
        };
        assert_eq!(detail.message.failure, Some(failure));
        assert_eq!(detail.waiting, None);
        assert_eq!(detail.attempts, [attempt(1, Outcome::Error)]);
    }
    assert_eq!(world.claim(SMS, 10, NOT_YET).await, []);
    let depths = world.store.queue_depths().await.unwrap();
    assert_eq!((depths[0].dead, depths[0].waiting, depths[0].leased), (5, 0, 0));
}

pub(crate) async fn a_dead_letter_without_an_attempt_records_none(world: &World) {
    let failure = Failure {
        reason: FailureReason::Deadline,
        error_code: None,
    };
    let id = world
        .settled(world.outbound(), |held| held.untried(dead(failure.reason)))
        .await;
    let detail = world.detail(id).await;
    assert_eq!((detail.attempts, detail.message.failure), (vec![], Some(failure)));
}

/// The error comes from the last recorded attempt, even if an earlier lease made it.
pub(crate) async fn a_dead_letter_without_an_attempt_keeps_the_last_error(world: &World) {
    let id = world
        .settled(world.outbound(), |held| {
            held.tried(Outcome::Error, retry(ALREADY))
        })
        .await;
    let held = world.claim_one(SMS, NOT_YET).await;
    world.settle(held.untried(dead(FailureReason::Deadline))).await;
    let failure = |reason, code| {
        Some(Failure {
            reason,
            error_code: Some(ErrorCode::of(code)),
        })
    };
    let failed = world.detail(id).await.message.failure;
    assert_eq!(failed, failure(FailureReason::Deadline, "carrier_down"));

    let vanished = world.accept(world.outbound().leased(ALREADY)).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    world.settle(held.untried(dead(FailureReason::Exhausted))).await;
    let failed = world.detail(vanished).await.message.failure;
    assert_eq!(failed, failure(FailureReason::Exhausted, "lease_expired"));
}

pub(crate) async fn a_stale_token_changes_nothing_but_the_late_outcome(world: &World) {
    let id = world.accept(world.outbound()).await;
    let stale = world.claim_one(SMS, ALREADY).await;
    let current = world.claim_one(SMS, NOT_YET).await;
    for disposition in [Disposition::Finish, retry(ALREADY), dead(FailureReason::Rejected)] {
        let before = world.detail(id).await;
        // Without an attempt there is no late outcome.
        assert_eq!(world.settle(stale.untried(disposition)).await, Settled::LeaseLost);
        assert_eq!(world.detail(id).await, before);
    }
    let mut expected = world.detail(id).await;
    let late = stale.tried(Outcome::Success, Disposition::Finish);
    assert_eq!(world.settle(late).await, Settled::LeaseLost);
    expected.attempts[0].late_outcome = Some(Outcome::Success);
    expected.attempts[0].provider_message_id = Some(PROVIDER_ID.parse().unwrap());
    assert_eq!(world.detail(id).await, expected);
    assert_eq!(
        world
            .settle(current.tried(Outcome::Success, Disposition::Finish))
            .await,
        Settled::Applied
    );
    // Also when the message is final and its entry gone.
    assert_eq!(
        world
            .settle(stale.tried(Outcome::Error, dead(FailureReason::Rejected)))
            .await,
        Settled::LeaseLost
    );
    let detail = world.detail(id).await;
    assert_eq!(detail.message.status, Status::Dispatched);
    assert_eq!(detail.attempts.len(), 2);
    assert_eq!(detail.attempts[0].late_outcome, Some(Outcome::Success));
    assert_eq!(detail.attempts[1].late_outcome, None);
}

pub(crate) async fn a_late_outcome_is_added_once_and_only_to_its_own_attempt(world: &World) {
    let id = world.accept(world.outbound()).await;
    let first = world.claim_one(SMS, ALREADY).await;
    let second = world.claim_one(SMS, ALREADY).await;
    world.claim_one(SMS, NOT_YET).await;
    let late = |attempts: &[Attempt]| {
        attempts
            .iter()
            .map(|attempt| attempt.late_outcome)
            .collect::<Vec<_>>()
    };

    // The number of one lease's try under the token of the other.
    for (held, other) in [(first, second), (second, first)] {
        let mut mistaken = held.tried(Outcome::Success, Disposition::Finish);
        mistaken.token = other.token;
        assert_eq!(world.settle(mistaken).await, Settled::LeaseLost);
        assert_eq!(late(&world.detail(id).await.attempts), [None, None]);
    }
    world.settle(second.tried(Outcome::Timeout, retry(ALREADY))).await;
    assert_eq!(
        late(&world.detail(id).await.attempts),
        [None, Some(Outcome::Timeout)]
    );
    world
        .settle(second.tried(Outcome::Success, Disposition::Finish))
        .await;
    assert_eq!(
        late(&world.detail(id).await.attempts),
        [None, Some(Outcome::Timeout)]
    );

    world.settle(first.tried(Outcome::Error, retry(ALREADY))).await;
    assert_eq!(
        late(&world.detail(id).await.attempts),
        [Some(Outcome::Error), Some(Outcome::Timeout)]
    );
}

/// A settlement repeated after a lost answer is applied, and takes effect once.
pub(crate) async fn a_repeated_settlement_takes_effect_once(world: &World) {
    let id = world.accept(world.outbound()).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    let settlement = held.tried(Outcome::Error, retry(ALREADY));
    assert_eq!(world.settle(settlement.clone()).await, Settled::Applied);
    let before = world.detail(id).await;
    assert_eq!(world.settle(settlement).await, Settled::Applied);
    assert_eq!(world.detail(id).await, before);

    let held = world.claim_one(SMS, NOT_YET).await;
    let burial = held.untried(dead(FailureReason::Deadline));
    assert_eq!(world.settle(burial.clone()).await, Settled::Applied);
    let before = world.detail(id).await;
    assert_eq!(world.settle(burial).await, Settled::Applied);
    assert_eq!(world.detail(id).await, before);
}

pub(crate) async fn an_expired_lease_is_valid_until_the_next_claim(world: &World) {
    let id = world.accept(world.outbound()).await;
    let held = world.claim_one(SMS, ALREADY).await;
    let settlement = held.tried(Outcome::Success, Disposition::Finish);
    assert_eq!(world.settle(settlement).await, Settled::Applied);
    assert_eq!(world.detail(id).await.attempts, [attempt(1, Outcome::Success)]);
}

pub(crate) async fn applied_and_lost_in_one_batch(world: &World) {
    let lost = world.accept(world.outbound()).await;
    let stale = world.claim_one(SMS, ALREADY).await;
    world.claim_one(SMS, NOT_YET).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(Held::at_accept(
            world.accept(world.outbound().leased(NOT_YET)).await,
        ));
    }
    let email = world
        .outbound()
        .email("a@example.com", "b@example.com")
        .leased(NOT_YET);
    held.push(Held::at_accept(world.accept(email).await));
    let batch = [
        held[2].tried(Outcome::Success, Disposition::Finish),
        stale.tried(Outcome::Timeout, retry(ALREADY)),
        held[3].tried(Outcome::Error, dead(FailureReason::Rejected)),
        held[0].untried(dead(FailureReason::Deadline)),
        held[1].tried(Outcome::Error, retry(NOT_YET)),
    ];
    let answers = world.store.settle(&batch).await.unwrap();
    use Settled::{Applied, LeaseLost};
    assert_eq!(answers, [Applied, LeaseLost, Applied, Applied, Applied]);
    let mut statuses = Vec::new();
    for held in &held {
        statuses.push(world.status(held.id).await);
    }
    use Status::{Dispatched, Failed, Pending};
    assert_eq!(statuses, [Failed, Pending, Dispatched, Failed]);
    assert_eq!(world.detail(held[3].id).await.attempts[0].provider, name(EMAIL));
    let attempts = world.detail(lost).await.attempts;
    assert_eq!(attempts[0].late_outcome, Some(Outcome::Timeout));
    assert_eq!(world.store.settle(&[]).await, Ok(vec![]));
}

pub(crate) async fn the_lease_of_an_unknown_message_is_lost(world: &World) {
    let unknown = |id: MessageId| Held::at_accept(id).tried(Outcome::Success, Disposition::Finish);
    assert_eq!(world.settle(unknown(world.mint().0)).await, Settled::LeaseLost);
    let inbound = world.accept(world.inbound("p")).await;
    assert_eq!(world.settle(unknown(inbound)).await, Settled::LeaseLost);
    assert_eq!(world.status(inbound).await, Status::Received);
    let never_claimed = world.accept(world.outbound()).await;
    assert_eq!(world.settle(unknown(never_claimed)).await, Settled::LeaseLost);
    assert_eq!(world.status(never_claimed).await, Status::Pending);
}

pub(crate) async fn absurd_delays_are_bounded(world: &World) {
    // A provider may ask for any delay; it must not fail the batch.
    let id = world
        .settled(world.outbound().deadline(Duration::MAX), |held| {
            held.tried(Outcome::RateLimited, retry(Duration::MAX))
        })
        .await;
    let waiting = world.detail(id).await.waiting.unwrap();
    assert!(!waiting.due && waiting.due_at > instant(0).saturating_add(NOT_YET));
    world
        .accept(world.outbound().by("other").leased(Duration::MAX))
        .await;
    assert_eq!(world.claim("other", 10, Duration::MAX).await, []);
    assert_eq!(world.store.purge_idempotency_keys(Duration::MAX, 10).await, Ok(0));
}

pub(crate) async fn an_unsure_attempt_is_remembered_until_a_redrive(world: &World) {
    let id = world.accept(world.outbound()).await;
    for (outcome, unsure) in [
        (Outcome::Error, false),
        (Outcome::RateLimited, false),
        (Outcome::Timeout, true),
        (Outcome::Error, true),
    ] {
        let held = world.claim_one(SMS, NOT_YET).await;
        let mut settlement = held.tried(outcome, retry(ALREADY));
        // The store keeps it by itself.
        settlement.progress.unsure = !unsure;
        world.settle(settlement).await;
        let held = world.claim_one(SMS, NOT_YET).await;
        assert_eq!(held.progress.unsure, unsure, "after {outcome}");
        assert_eq!(world.release(&[(id, held.token)]).await, 1);
    }
    let held = world.claim_one(SMS, NOT_YET).await;
    world.settle(held.untried(dead(FailureReason::Exhausted))).await;
    let terms = in_place(NOT_YET, NOT_YET);
    assert_eq!(world.store.redrive(id, &terms).await, Ok(Redriven::Pending));
    assert!(!world.claim_one(SMS, NOT_YET).await.progress.unsure);
}

pub(crate) async fn lost_attempts_are_counted_for_ever(world: &World) {
    let id = world.accept(world.outbound().deadline(NOT_YET)).await;
    let progress = async |attempts, lost| {
        let held = world.claim_one(SMS, ALREADY).await;
        assert_eq!(
            (held.progress.attempts, held.progress.lost),
            (attempts, lost),
            "{attempts} attempts"
        );
        assert_eq!(held.progress.completed(), attempts - lost);
        held
    };
    progress(0, 0).await;
    let held = progress(1, 1).await;
    let mut settlement = held.tried(Outcome::Unknown, retry(ALREADY));
    // The store keeps it by itself.
    settlement.progress.lost = 7;
    world.settle(settlement).await;
    progress(2, 1).await;
    let held = progress(3, 2).await;
    world
        .settle(held.tried(Outcome::Error, dead(FailureReason::Exhausted)))
        .await;
    let terms = in_place(ALREADY, ALREADY);
    world.store.redrive(id, &terms).await.unwrap();
    progress(4, 2).await;
    // A sweep finds the lease expired and the deadline passed.
    assert_eq!(world.sweep(&[SMS], 10).await.len(), 1);
    world.store.redrive(id, &terms).await.unwrap();
    progress(5, 3).await;
}

pub(crate) async fn reroute_moves_the_entry_and_keeps_its_budget(world: &World) {
    let id = world.accept(world.outbound()).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    let settlement = held.tried(Outcome::Error, reroute(EMAIL));
    assert_eq!(world.settle(settlement.clone()).await, Settled::Applied);
    let detail = world.detail(id).await;
    assert_eq!(detail.message.status, Status::Pending);
    assert_eq!(detail.message.provider, Some(name(EMAIL)));
    assert_eq!(detail.attempts, [attempt(1, Outcome::Error)]);
    assert!(
        detail
            .waiting
            .is_some_and(|waiting| waiting.due && !waiting.leased)
    );
    assert_eq!(world.settle(settlement).await, Settled::Applied, "a repeat");

    assert_eq!(world.claim(SMS, 10, NOT_YET).await, []);
    let claimed = world.claim(EMAIL, 10, NOT_YET).await;
    let held_there = Held::from(&claimed[0]);
    assert!(claimed[0].deadline_in <= NOT_YET);
    assert_eq!(
        (held_there.progress.attempts, held_there.progress.counted),
        (1, 1)
    );
    world
        .settle(held_there.tried(Outcome::Success, Disposition::Finish))
        .await;
    let providers: Vec<_> = world
        .detail(id)
        .await
        .attempts
        .into_iter()
        .map(|attempt| attempt.provider)
        .collect();
    assert_eq!(providers, [name(SMS), name(EMAIL)]);
}

pub(crate) async fn reroute_without_an_attempt_takes_effect_once(world: &World) {
    let id = world.accept(world.outbound()).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    let settlement = held.untried(reroute(EMAIL));
    assert_eq!(world.settle(settlement.clone()).await, Settled::Applied);
    assert_eq!(world.settle(settlement.clone()).await, Settled::Applied);
    assert_eq!(
        world.settle(held.untried(reroute("third"))).await,
        Settled::LeaseLost
    );
    assert_eq!(world.detail(id).await.attempts, []);
    world.claim_one(EMAIL, NOT_YET).await;
    assert_eq!(world.settle(settlement).await, Settled::LeaseLost);
}

pub(crate) async fn reroute_is_refused_unless_every_attempt_was_certainly_not_taken(world: &World) {
    for outcome in [Outcome::Timeout, Outcome::Unknown, Outcome::Success] {
        world.accept(world.outbound()).await;
        let held = world.claim_one(SMS, NOT_YET).await;
        let refused = world.settle(held.tried(outcome, reroute(EMAIL))).await;
        assert_eq!(refused, Settled::RerouteRefused, "{outcome}");
        // Nothing changed, and the lease is still held.
        let detail = world.detail(held.id).await;
        assert_eq!(
            (detail.attempts, detail.message.provider),
            (vec![], Some(name(SMS)))
        );
        assert!(detail.waiting.unwrap().leased);
        world.settle(held.tried(outcome, retry(NOT_YET))).await;
    }
    // An earlier attempt counts as well, also that of a worker that vanished.
    let id = world.accept(world.outbound()).await;
    world.claim_one(SMS, ALREADY).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    for settlement in [
        held.tried(Outcome::Error, reroute(EMAIL)),
        held.untried(reroute(EMAIL)),
    ] {
        assert_eq!(world.settle(settlement).await, Settled::RerouteRefused);
    }
    assert_eq!(world.detail(id).await.attempts.len(), 1);
    // A refusal and what is settled beside it.
    let other = Held::at_accept(world.accept(world.outbound().leased(NOT_YET)).await);
    let batch = [
        held.untried(reroute(EMAIL)),
        other.tried(Outcome::RateLimited, reroute(EMAIL)),
    ];
    let settled = world.store.settle(&batch).await;
    assert_eq!(settled, Ok(vec![Settled::RerouteRefused, Settled::Applied]));
    assert_eq!(world.detail(other.id).await.message.provider, Some(name(EMAIL)));
}
