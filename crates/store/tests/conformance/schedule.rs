use std::time::Duration;

use domain::{FailureReason, Outcome, PageRequest, Start, Status};
use trunkline_store::{Disposition, MessageFilter};

use crate::{
    builders::{ALREADY, NOT_YET, SMS, dead, in_place, instant, retry},
    world::World,
};

const LATER: Duration = Duration::from_secs(2 * 3_600);
const MINUTES_30: Duration = Duration::from_secs(1_800);

/// How many messages a listing finds by their status.
async fn counted(world: &World, status: Status) -> u64 {
    let filter = MessageFilter {
        status: Some(status),
        ..MessageFilter::default()
    };
    let page = PageRequest::new(1, Start::First);
    world.store.messages(&filter, &page).await.unwrap().total.count
}

pub(crate) async fn a_message_is_scheduled_until_its_time_and_then_pending(world: &World) {
    // The lease is refused, because it is not due.
    let id = world
        .accept(world.outbound().send_in(LATER).leased(NOT_YET))
        .await;
    let detail = world.detail(id).await;
    assert_eq!(detail.message.status, Status::Scheduled);
    let waiting = detail.waiting.unwrap();
    assert!(!waiting.due && !waiting.leased, "{waiting:?}");
    assert_eq!(Some(waiting.due_at), detail.message.schedule.send_at);
    assert_eq!(world.claim(SMS, 10, NOT_YET).await, []);
    assert_eq!(
        [
            counted(world, Status::Scheduled).await,
            counted(world, Status::Pending).await
        ],
        [1, 0]
    );

    world.pass(LATER).await;
    let detail = world.detail(id).await;
    assert_eq!(
        (detail.message.status, detail.waiting.unwrap().due),
        (Status::Pending, true)
    );
    assert_eq!(
        [
            counted(world, Status::Scheduled).await,
            counted(world, Status::Pending).await
        ],
        [0, 1]
    );
    let held = world.claim_one(SMS, NOT_YET).await;
    world
        .settle(held.tried(Outcome::Success, Disposition::Finish))
        .await;
    assert_eq!(world.status(id).await, Status::Dispatched);
}

pub(crate) async fn a_message_that_was_tried_is_pending_while_it_waits(world: &World) {
    let id = world.accept(world.outbound().send_in(LATER)).await;
    world.pass(LATER).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    world.settle(held.tried(Outcome::Error, retry(NOT_YET))).await;
    assert_eq!(world.status(id).await, Status::Pending);
    assert_eq!(counted(world, Status::Pending).await, 1);
}

pub(crate) async fn a_time_that_has_passed_is_now(world: &World) {
    let id = world.accept(world.outbound().send_at(instant(5))).await;
    let detail = world.detail(id).await;
    assert_eq!(
        (detail.message.status, detail.waiting.unwrap().due),
        (Status::Pending, true)
    );
    assert_eq!(detail.message.schedule.send_at, Some(instant(5)));
    assert_eq!(world.claim_one(SMS, NOT_YET).await.id, id);
}

pub(crate) async fn the_deadline_counts_from_the_time_to_send(world: &World) {
    let id = world
        .accept(world.outbound().send_in(LATER).deadline(NOT_YET))
        .await;
    world.pass(LATER + MINUTES_30).await;
    assert_eq!(world.sweep(&[SMS], 10).await, []);
    let claimed = world.claim(SMS, 10, NOT_YET).await;
    let left = claimed[0].deadline_in;
    assert!(left <= MINUTES_30 && left > MINUTES_30 / 2, "{left:?}");
    assert_eq!(world.release(&[(id, claimed[0].leased.token)]).await, 1);
    world.pass(MINUTES_30).await;
    assert_eq!(world.sweep(&[SMS], 10).await[0].reason, FailureReason::Deadline);
}

pub(crate) async fn a_deadline_of_its_own_counts_instead_of_the_operators(world: &World) {
    let longer = world
        .accept(world.outbound().deadline(ALREADY).expires_in(NOT_YET))
        .await;
    let scheduled = world
        .accept(
            world
                .outbound()
                .send_in(LATER)
                .deadline(NOT_YET)
                .expires_in(LATER + MINUTES_30),
        )
        .await;
    let shorter = world
        .accept(world.outbound().deadline(NOT_YET).expires_in(ALREADY))
        .await;
    let swept = async |world: &World| {
        let swept = world.sweep(&[SMS], 10).await;
        swept.iter().map(|dead| dead.id).collect::<Vec<_>>()
    };
    assert_eq!(swept(world).await, [shorter]);
    world.pass(NOT_YET).await;
    assert_eq!(swept(world).await, [longer]);
    world.pass(LATER + MINUTES_30).await;
    assert_eq!(swept(world).await, [scheduled]);
}

pub(crate) async fn a_redrive_is_due_at_once_with_the_operators_deadline(world: &World) {
    let id = world
        .accept(world.outbound().send_in(LATER).expires_in(LATER + MINUTES_30))
        .await;
    world.pass(LATER).await;
    let held = world.claim_one(SMS, NOT_YET).await;
    world
        .settle(held.tried(Outcome::Rejected, dead(FailureReason::Rejected)))
        .await;
    world.pass(LATER).await;
    world
        .store
        .redrive(id, &in_place(NOT_YET, NOT_YET))
        .await
        .unwrap();
    assert_eq!(world.status(id).await, Status::Pending);
    assert!(!world.claim(SMS, 10, NOT_YET).await[0].deadline_in.is_zero());
}

pub(crate) async fn what_lies_ahead_pins_no_conversation_to_the_top(world: &World) {
    let ahead = world.outbound().between(0, 1).send_in(LATER);
    let ahead = world.accept(ahead).await;
    let now = world.accept(world.outbound().between(0, 2)).await;
    let detail = world.detail(ahead).await.message;
    let (conversation, _) = detail.thread.unwrap();
    let listed = world.conversations().await;
    assert_eq!(listed[1].id, conversation);
    assert_eq!(listed[1].last_activity_at, detail.processed_at);
    assert_eq!(
        Some(listed[0].id),
        world.detail(now).await.message.thread.map(|thread| thread.0)
    );
    // In the thread it comes last.
    world.accept(world.inbound("p").between(1, 0)).await;
    assert_eq!(
        world.thread(conversation).await.last().map(|message| message.id),
        Some(ahead)
    );
    world.check_conversations().await;
}

pub(crate) async fn schedule_and_metadata_read_back_everywhere(world: &World) {
    let entries = [
        ("order", "A-1"),
        ("", ""),
        ("né\"'\\", "{\"a\": [1]}\n\u{1F600}"),
        ("null", "null"),
    ];
    let draft = world
        .outbound()
        .metadata(&entries)
        .send_in(LATER)
        .expires_in(LATER + MINUTES_30);
    let accept = draft.accept();
    let id = accept.id;
    world.accept_all(std::slice::from_ref(&accept)).await;
    let plain = world.accept(world.outbound()).await;
    let message = world.detail(id).await.message;
    assert_eq!(message.content, *accept.message.content);
    assert_eq!(message.content.metadata.entries().len(), 4);
    assert_eq!(message.schedule, accept.message.schedule);
    assert_eq!(message.delivery, None);
    assert!(world.detail(plain).await.message.content.metadata.is_empty());
    let listed = world.messages().await;
    assert_eq!(listed.iter().find(|listed| listed.id == id), Some(&message));
    let thread = world.thread(message.thread.unwrap().0).await;
    assert_eq!(thread.iter().find(|listed| listed.id == id), Some(&message));
    world.pass(LATER).await;
    let claimed = world.claim(SMS, 10, NOT_YET).await;
    let leased = claimed.iter().find(|claimed| claimed.leased.id == id).unwrap();
    assert_eq!(leased.leased.content, accept.message.content);
}
