//! Conversations that fail, and endpoints that are away.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Conversation 0 always fails.
fn poison(conversation: i64) -> u16 {
    if conversation == 0 { 500 } else { 200 }
}

#[test]
fn a_conversation_that_always_fails_holds_no_other_and_never_disables_the_endpoint() {
    for others_go_on in [true, false] {
        let mut world = World::new();
        for event in 0..6_000 {
            world.append(event % 2);
        }
        world.settle(poison);
        assert_eq!(world.delivered_of(1), 3_000, "at once");
        for _hour in 0..7 * 24 {
            if others_go_on {
                world.append(1);
            }
            world.pass(HOUR, poison);
        }
        assert_eq!(world.disabled, None);
        assert_eq!(world.delivered_of(1), if others_go_on { 3_168 } else { 3_000 });
        // Each has had its three days.
        assert_eq!((world.failed(), world.pending()), (3_000, 0));
        world.replay(EventId::START);
        world.delivered.clear();
        world.settle(|_| 200);
        assert_eq!((world.delivered_of(0), world.rows.len()), (3_000, 0));
        world.check_order();
    }
}

#[test]
fn a_conversation_that_recovers_gets_its_events_in_order() {
    let mut world = World::new();
    for event in 0..6_000 {
        world.append(event % 2);
    }
    world.pass(DAY, poison);
    // Another node loads what is held.
    world.lease();
    world.append(1);
    world.pass(DAY, poison);
    assert_eq!((world.delivered_of(0), world.delivered_of(1)), (0, 3_001));
    world.pass(13 * HOUR, |_| 200);
    assert_eq!((world.delivered_of(0), world.rows.len()), (3_000, 0));
    world.check_order();
}

#[test]
fn events_that_wait_behind_a_parked_one_get_an_attempt_of_their_own() {
    let mut world = World::new();
    let [first, second, third] = [(); 3].map(|()| world.append(0));
    world.pass(2 * DAY, poison);
    let late = world.append(0);
    world.append(1);
    world.pass(DAY - HOUR, poison);
    while world.rows[&first].status == DeliveryStatus::Pending {
        let bad = [first, second];
        world.now = world.queue.next_due().unwrap();
        world.start();
        let status = if bad.contains(&world.calls[0].id) {
            500
        } else {
            200
        };
        world.finish(0, Some(status), None);
        world.checkpoint();
    }
    world.start();
    world.finish(0, Some(500), None);
    world.checkpoint();
    assert_eq!(
        world.rows[&second].status,
        DeliveryStatus::Failed,
        "it was held for three days too"
    );
    assert_eq!(world.attempts[&second].len(), 1);
    world.settle(|_| 200);
    assert!(world.known.contains(&third) && world.known.contains(&late));
}

#[test]
fn a_conversation_that_holds_more_than_fits_is_parked_from_its_oldest_event_on() {
    let mut world = World::new();
    const EACH: usize = HELD_MAX + 2_000;
    for event in 0..2 * EACH {
        world.append(i64::from(event % 2 == 1));
    }
    world.pass(HOUR, poison);
    assert_eq!(world.delivered_of(1), EACH);
    assert!(world.pending() <= HELD_MAX, "{}", world.pending());
    assert_eq!(world.pending() + world.failed(), EACH);
    let newest_failed = world
        .rows
        .values()
        .rfind(|row| row.status == DeliveryStatus::Failed);
    let oldest_pending = world
        .rows
        .values()
        .find(|row| row.status == DeliveryStatus::Pending);
    assert!(newest_failed.unwrap().event.id < oldest_pending.unwrap().event.id);
    world.lease();
    world.pass(13 * HOUR, |_| 200);
    assert_eq!(world.pending(), 0);
    world.check_order();
}

#[test]
fn an_endpoint_that_is_away_stops_the_reading_at_the_bounds_and_nothing_is_parked() {
    for (conversations, bound) in [(5, HELD_MAX), (HELD_MAX, FAILING_MAX)] {
        let mut world = World::new();
        for event in 0..HELD_MAX + 1_000 {
            world.append((event % conversations) as i64);
        }
        world.pass(HOUR, |_| 500);
        assert_eq!(world.failed(), 0);
        assert!(
            (bound - 2 * FRESH_MAX..=bound).contains(&world.pending()),
            "{}",
            world.pending()
        );
        let stopped_at = world.cursor;
        world.lease();
        world.pass(SECOND, |_| 500);
        assert_eq!(world.cursor, stopped_at);
        world.pass(13 * HOUR, |_| 200);
        assert_eq!((world.rows.len(), world.known.len()), (0, HELD_MAX + 1_000));
        world.check_order();
    }
}
