use std::time::Duration;

use domain::{DeliveryStatus, Event, EventId, PageRequest, Start, Total, WebhookEndpointId};
use trunkline_store::{
    Checkpoint, DeliveryAttempt, EndpointChange, KeptDelivery, LeasedEndpoint, PendingLimits, ReplayFrom,
    WebhookDelivery,
};

use crate::{
    builders::{ALREADY, NOT_YET, instant},
    webhooks::{checkpoint, created, events, lease_one, pending, read, save},
    world::World,
};

use DeliveryStatus::{Failed, Pending};

fn attempts(count: u16) -> Vec<DeliveryAttempt> {
    let attempt = |number: u16| DeliveryAttempt {
        at: instant(number.into()),
        latency: Duration::from_millis(number.into()),
        status: number.is_multiple_of(2).then_some(500 + number),
        error: "timeout".into(),
        answer: "\u{0}\"{}\u{e9}".into(),
    };
    (0..count).map(attempt).collect()
}

fn kept(event: &Event, status: DeliveryStatus, due_in: Option<Duration>) -> KeptDelivery {
    KeptDelivery {
        event: event.clone(),
        status,
        due_in,
        attempts: attempts(3),
    }
}

/// Every delivery on record.
async fn deliveries(
    world: &World,
    id: WebhookEndpointId,
    status: Option<DeliveryStatus>,
) -> Vec<WebhookDelivery> {
    let mut all: Vec<WebhookDelivery> = Vec::new();
    let mut start = Start::First;
    loop {
        let page = PageRequest::new(2, start);
        let page = world.store.deliveries(id, status, &page).await.unwrap().unwrap();
        all.extend(page.items);
        match page.next {
            Some(position) => start = Start::After(position),
            None => {
                assert_eq!(page.total, Total::exact(all.len() as u64));
                return all;
            }
        }
    }
}

fn places(deliveries: &[WebhookDelivery]) -> Vec<(EventId, DeliveryStatus)> {
    deliveries
        .iter()
        .map(|delivery| (delivery.event.id, delivery.status))
        .collect()
}

/// A leased endpoint, and events of which the first, second and fourth are on record: due later, waiting and failed.
async fn troubled(world: &World) -> (LeasedEndpoint, Vec<Event>) {
    created(world).await;
    let events = events(world, 5).await;
    let leased = lease_one(world).await;
    let progress = Checkpoint {
        cursor: events[3].id,
        kept: vec![
            kept(&events[0], Pending, Some(NOT_YET)),
            KeptDelivery {
                attempts: Vec::new(),
                ..kept(&events[1], Pending, None)
            },
            kept(&events[3], Failed, None),
        ],
        delivered: 1,
        ..checkpoint(&leased)
    };
    assert!(save(world, &progress).await);
    (leased, events)
}

pub(crate) async fn deliveries_read_back_oldest_first(world: &World) {
    let (leased, events) = troubled(world).await;
    let id = leased.endpoint.id;
    let all = deliveries(world, id, None).await;
    assert_eq!(
        places(&all),
        [
            (events[0].id, Pending),
            (events[1].id, Pending),
            (events[3].id, Failed)
        ]
    );
    assert_eq!(all[0].event, events[0]);
    assert_eq!(all[0].attempts, attempts(3));
    assert!(all[0].due_at > Some(events[0].at.saturating_add(NOT_YET / 2)));
    assert_eq!((all[1].due_at, &all[1].attempts), (None, &Vec::new()));
    assert_eq!(deliveries(world, id, Some(Pending)).await, all[..2]);
    assert_eq!(deliveries(world, id, Some(Failed)).await, all[2..]);
    let (unknown, _) = world.mint();
    let page = PageRequest::new(2, Start::First);
    let unknown = world
        .store
        .deliveries(unknown.as_uuid().into(), None, &page)
        .await;
    assert_eq!(unknown, Ok(None));
}

pub(crate) async fn a_checkpoint_replaces_and_removes_deliveries(world: &World) {
    let (leased, events) = troubled(world).await;
    let id = leased.endpoint.id;
    let given_up = KeptDelivery {
        attempts: attempts(7),
        ..kept(&events[0], Failed, None)
    };
    let progress = Checkpoint {
        cursor: events[4].id,
        kept: vec![given_up, kept(&events[4], Pending, Some(ALREADY))],
        // One of them is not on record.
        done: vec![events[1].id, events[2].id],
        delivered: 1,
        ..checkpoint(&leased)
    };
    assert!(save(world, &progress).await);
    let all = deliveries(world, id, None).await;
    assert_eq!(
        places(&all),
        [
            (events[0].id, Failed),
            (events[3].id, Failed),
            (events[4].id, Pending)
        ]
    );
    assert_eq!((all[0].due_at, &all[0].attempts), (None, &attempts(7)));
    // What lost its lease removes nothing.
    world
        .store
        .change_endpoint(id, &EndpointChange::default())
        .await
        .unwrap();
    assert!(!save(world, &progress).await);
    assert_eq!(deliveries(world, id, None).await, all);
}

pub(crate) async fn the_holder_of_a_lease_loads_pending_deliveries_in_bounded_parts(world: &World) {
    let (leased, events) = troubled(world).await;
    let id = leased.endpoint.id;
    let pending = deliveries(world, id, Some(Pending)).await;
    let load = async |leased: &LeasedEndpoint, after: EventId, rows, bytes| {
        let limits = PendingLimits { rows, bytes };
        let loaded = world
            .store
            .pending_deliveries(leased.endpoint.id, leased.token, after, limits);
        loaded.await.unwrap().map(|page| (page.deliveries, page.is_last))
    };
    let [start, large] = [EventId::START, EventId::new(1 << 40).unwrap()];
    assert_eq!(
        load(&leased, start, 2, 1 << 20).await,
        Some((pending.clone(), true))
    );
    assert_eq!(
        load(&leased, start, 1, 1 << 20).await,
        Some((pending[..1].to_vec(), false))
    );
    assert_eq!(
        load(&leased, start, 2, 1).await,
        Some((pending[..1].to_vec(), false))
    );
    assert_eq!(
        load(&leased, events[0].id, 1, 1).await,
        Some((pending[1..].to_vec(), true))
    );
    assert_eq!(load(&leased, large, 1, 1).await, Some((Vec::new(), true)));
    let other = created(world).await;
    let other_leased = lease_one(world).await;
    assert_eq!(
        load(&other_leased, start, 2, 1 << 20).await,
        Some((Vec::new(), true))
    );
    world.store.delete_endpoint(other.id).await.unwrap();
    assert_eq!(load(&other_leased, start, 2, 1 << 20).await, None);
    world.store.release_endpoint(id, leased.token).await.unwrap();
    assert_eq!(load(&leased, start, 2, 1 << 20).await, None);
    let again = lease_one(world).await;
    assert_eq!(load(&leased, start, 2, 1 << 20).await, None);
    assert_eq!(load(&again, start, 2, 1 << 20).await, Some((pending, true)));
}

pub(crate) async fn a_replay_sends_failed_deliveries_after_its_place_again(world: &World) {
    for by_time in [false, true] {
        let (leased, events) = troubled(world).await;
        let id = leased.endpoint.id;
        let before = deliveries(world, id, None).await;
        let [behind, ahead] = if by_time {
            let late = events[4].at.saturating_add(NOT_YET);
            [late, events[0].at].map(ReplayFrom::Since)
        } else {
            [events[4].id, events[2].id].map(ReplayFrom::After)
        };
        world.store.replay(id, behind).await.unwrap().unwrap();
        assert_eq!(deliveries(world, id, None).await, before);
        world.store.replay(id, ahead).await.unwrap().unwrap();
        let after = deliveries(world, id, None).await;
        assert_eq!(after[..2], before[..2], "pending ones stay as they are");
        assert_eq!((after[2].event.id, after[2].status), (events[3].id, Pending));
        assert_eq!(
            (after[2].due_at.is_some(), &after[2].attempts),
            (true, &Vec::new())
        );
        world.store.delete_endpoint(id).await.unwrap();
    }
}

pub(crate) async fn a_deleted_endpoint_leaves_no_deliveries(world: &World) {
    let (leased, _) = troubled(world).await;
    let id = leased.endpoint.id;
    assert_eq!(world.store.delete_endpoint(id).await, Ok(true));
    let page = PageRequest::new(2, Start::First);
    assert_eq!(world.store.deliveries(id, None, &page).await, Ok(None));
    assert!(!save(world, &checkpoint(&leased)).await);
}

pub(crate) async fn enabling_makes_pending_deliveries_due_at_once_with_fresh_attempts(world: &World) {
    let (leased, events) = troubled(world).await;
    let id = leased.endpoint.id;
    let before = deliveries(world, id, None).await;
    for enabled in [false, true] {
        let change = EndpointChange {
            enabled: Some(enabled),
            ..EndpointChange::default()
        };
        world.store.change_endpoint(id, &change).await.unwrap();
        let after = deliveries(world, id, None).await;
        if !enabled {
            assert_eq!(after, before);
            continue;
        }
        assert!(after[0].due_at < Some(events[0].at.saturating_add(NOT_YET / 2)));
        // What waits behind another, and what failed, has no time.
        assert_eq!(after[1..], before[1..]);
        assert_eq!(after[0].attempts, []);
    }
}

pub(crate) async fn a_replay_goes_back_and_is_done_where_it_began(world: &World) {
    let (leased, events) = troubled(world).await;
    let id = leased.endpoint.id;
    let replay = async |place: EventId| {
        let endpoint = world
            .store
            .replay(id, ReplayFrom::After(place))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(endpoint, read(world, id).await);
        (endpoint.cursor, endpoint.replay_until)
    };
    let cursor = events[3].id;
    // To where it is, or ahead, there is nothing to deliver again.
    assert_eq!(replay(cursor).await, (cursor, None));
    assert_eq!(replay(events[4].id).await, (cursor, None));
    assert_eq!(replay(events[1].id).await, (events[1].id, Some(cursor)));
    assert_eq!(replay(events[0].id).await, (events[0].id, Some(cursor)));
    assert_eq!(replay(events[2].id).await, (events[0].id, Some(cursor)));
    let leased = lease_one(world).await;
    for (place, until) in [(2, Some(cursor)), (3, None), (4, None)] {
        let progress = Checkpoint {
            cursor: events[place].id,
            ..checkpoint(&leased)
        };
        assert!(save(world, &progress).await);
        let endpoint = read(world, id).await;
        assert_eq!(
            (endpoint.cursor, endpoint.replay_until),
            (events[place].id, until)
        );
    }
    let (unknown, _) = world.mint();
    let unknown = unknown.as_uuid().into();
    for from in [
        ReplayFrom::After(cursor),
        ReplayFrom::Since(instant(0)),
        ReplayFrom::Failed,
    ] {
        assert_eq!(world.store.replay(unknown, from).await, Ok(None));
    }
}

pub(crate) async fn a_replay_since_a_time_starts_with_its_first_event(world: &World) {
    let id = created(world).await.id;
    let old = events(world, 2).await;
    world.pass(NOT_YET).await;
    let recent = events(world, 2).await;
    let cursor = recent[1].id;
    let leased = lease_one(world).await;
    let progress = Checkpoint {
        cursor,
        ..checkpoint(&leased)
    };
    assert!(save(world, &progress).await);
    let since = async |time| {
        let from = ReplayFrom::Since(time);
        let endpoint = world.store.replay(id, from).await.unwrap().unwrap();
        let after = crate::walks::all_events(&*world.store, endpoint.cursor).await;
        (after.first().map(|event| event.id), endpoint.replay_until)
    };
    let future = recent[1].at.saturating_add(NOT_YET);
    assert_eq!(since(future).await, (None, None));
    let all = world.events().await;
    let half_an_hour_before = domain::Timestamp::from_micros(recent[0].at.as_micros() - 1_800_000_000);
    assert_eq!(
        since(half_an_hour_before.unwrap()).await,
        (Some(recent[0].id), Some(cursor))
    );
    assert_eq!(since(instant(0)).await, (Some(all[0].id), Some(cursor)));
    assert!(all[0].id < old[0].id, "the conversation came first");
}

pub(crate) async fn a_replay_of_failed_deliveries_makes_them_due_afresh(world: &World) {
    let (leased, events) = troubled(world).await;
    let id = leased.endpoint.id;
    let before = deliveries(world, id, None).await;
    let endpoint = world.store.replay(id, ReplayFrom::Failed).await.unwrap().unwrap();
    assert_eq!((endpoint.cursor, endpoint.replay_until), (events[3].id, None));
    let after = deliveries(world, id, None).await;
    assert_eq!(after[..2], before[..2]);
    assert_eq!((after[2].event.id, after[2].status), (events[3].id, Pending));
    assert_eq!(after[2].attempts, []);
    assert!(after[2].due_at < Some(events[0].at.saturating_add(NOT_YET / 2)) && after[2].due_at.is_some());
    let leased = lease_one(world).await;
    assert_eq!(pending(world, &leased, 2).await, after);
}

pub(crate) async fn a_purge_deletes_failed_deliveries_of_events_that_are_gone(world: &World) {
    let (leased, events) = troubled(world).await;
    let id = leased.endpoint.id;
    let progress = Checkpoint {
        cursor: events[4].id,
        kept: vec![kept(&events[2], Failed, None), kept(&events[4], Failed, None)],
        ..checkpoint(&leased)
    };
    assert!(save(world, &progress).await);
    assert_eq!(world.store.purge_deliveries(10).await, Ok(0));
    world.pass(NOT_YET).await;
    world.accept(world.outbound().between(90, 91)).await;
    // All but the last accept.
    while world.store.purge_events(NOT_YET, 100).await.unwrap() > 0 {}
    assert_eq!(world.store.purge_deliveries(2).await, Ok(2));
    assert_eq!(world.store.purge_deliveries(2).await, Ok(1));
    assert_eq!(world.store.purge_deliveries(2).await, Ok(0));
    // Pending ones keep their events.
    let left = deliveries(world, id, None).await;
    assert_eq!(places(&left), [(events[0].id, Pending), (events[1].id, Pending)]);
    assert_eq!(left[0].event, events[0]);
}
