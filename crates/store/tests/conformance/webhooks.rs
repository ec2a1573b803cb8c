use std::time::Duration;

use domain::{DisabledReason, EventId, EventType, WebhookEndpointId, WebhookPayload};
use trunkline_store::{
    Checkpoint, Endpoint, EndpointChange, EndpointConfig, EndpointUrl, LeasedEndpoint, NewEndpoint,
    PendingLimits, PendingPage, WebhookDelivery, WebhookSecret,
};

use crate::{
    builders::{ALREADY, NOT_YET},
    world::World,
};

pub(crate) fn secret(byte: u8) -> WebhookSecret {
    WebhookSecret([byte; 24].into())
}

/// An endpoint that is not stored yet.
pub(crate) fn new_endpoint(world: &World, url: &str) -> NewEndpoint {
    let (id, _) = world.mint();
    NewEndpoint {
        id: WebhookEndpointId::from(id.as_uuid()),
        config: EndpointConfig {
            url: EndpointUrl(url.into()),
            types: None,
            payload: WebhookPayload::Full,
            description: None,
        },
        secret: secret(1),
    }
}

pub(crate) async fn created(world: &World) -> Endpoint {
    let endpoint = new_endpoint(world, "https://example.com/hook");
    let created = world.store.create_endpoint(&endpoint, 1_000).await;
    created.unwrap().unwrap()
}

pub(crate) async fn read(world: &World, id: WebhookEndpointId) -> Endpoint {
    world.store.endpoint(id).await.unwrap().unwrap()
}

/// Leases all that can be.
pub(crate) async fn lease(world: &World, lease: Duration) -> Vec<LeasedEndpoint> {
    world.store.lease_endpoints(lease, 100).await.unwrap()
}

/// Leases the one endpoint that can be.
pub(crate) async fn lease_one(world: &World) -> LeasedEndpoint {
    let mut leased = lease(world, NOT_YET).await;
    assert_eq!(leased.len(), 1, "{leased:?}");
    leased.remove(0)
}

/// The pending deliveries of a leased endpoint, so many at once.
pub(crate) async fn pending(world: &World, leased: &LeasedEndpoint, rows: u32) -> Vec<WebhookDelivery> {
    let limits = PendingLimits { rows, bytes: 1 << 20 };
    let (mut all, mut after) = (Vec::new(), EventId::START);
    loop {
        let (id, token) = (leased.endpoint.id, leased.token);
        let page = insist!(world.store.pending_deliveries(id, token, after, limits).await).await;
        let PendingPage {
            deliveries, is_last, ..
        } = page.unwrap();
        assert!(deliveries.len() <= rows as usize);
        all.extend(deliveries);
        if is_last {
            return all;
        }
        after = all.last().unwrap().event.id;
    }
}

/// A checkpoint that changes nothing.
pub(crate) fn checkpoint(leased: &LeasedEndpoint) -> Checkpoint {
    Checkpoint {
        id: leased.endpoint.id,
        token: leased.token,
        lease: NOT_YET,
        cursor: leased.endpoint.cursor,
        kept: Vec::new(),
        done: Vec::new(),
        delivered: 0,
        failing: false,
        disable: None,
    }
}

pub(crate) async fn save(world: &World, checkpoint: &Checkpoint) -> bool {
    world.store.checkpoint(checkpoint).await.unwrap()
}

/// So many events, each about a conversation of its own or all about one.
pub(crate) async fn events(world: &World, count: u32) -> Vec<domain::Event> {
    let after = world.store.event_log().await.unwrap().end;
    for _ in 0..count {
        world.accept(world.outbound().between(90, 91)).await;
    }
    let mut events = crate::walks::all_events(&*world.store, after).await;
    events.retain(|event| event.kind == EventType::MessageAccepted);
    events
}

pub(crate) async fn a_new_endpoint_starts_at_the_end_of_the_log(world: &World) {
    let empty = created(world).await;
    assert_eq!(empty.cursor, EventId::START);
    let events = events(world, 3).await;
    let mut endpoint = new_endpoint(world, "https://example.com/\u{e9}?key=1#x");
    endpoint.config = EndpointConfig {
        types: Some(vec![EventType::MessageFailed, EventType::MessageDelivered]),
        payload: WebhookPayload::Thin,
        description: Some("\"ours\" \u{1F600}".into()),
        ..endpoint.config
    };
    let created = world
        .store
        .create_endpoint(&endpoint, 100)
        .await
        .unwrap()
        .unwrap();
    let created_at = created.created_at;
    let expected = Endpoint {
        id: endpoint.id,
        config: endpoint.config,
        secret: endpoint.secret,
        previous_secrets: Vec::new(),
        enabled: true,
        disabled_reason: None,
        created_at,
        cursor: events.last().unwrap().id,
        replay_until: None,
        delivered_total: 0,
        last_delivered_at: None,
        failing_since: None,
    };
    assert_eq!(created, expected);
    assert_eq!(read(world, endpoint.id).await, expected);
    // No types is none, not all.
    let mut none = new_endpoint(world, "https://example.com");
    none.config.types = Some(Vec::new());
    let none = world.store.create_endpoint(&none, 100).await.unwrap().unwrap();
    assert_eq!(none.config.types, Some(Vec::new()));
    let all = world.store.endpoints().await.unwrap();
    assert_eq!(all, [empty, expected, none]);
    let (unknown, _) = world.mint();
    assert_eq!(world.store.endpoint(unknown.as_uuid().into()).await, Ok(None));
}

pub(crate) async fn there_are_no_more_endpoints_than_the_limit(world: &World) {
    let [one, other] = world.two_nodes().await;
    let creating = |store: std::sync::Arc<dyn trunkline_store::Store>| {
        let endpoints: Vec<_> = (0..6)
            .map(|_| new_endpoint(world, "https://example.com"))
            .collect();
        tokio::spawn(async move {
            let mut created = 0;
            for endpoint in endpoints {
                created += usize::from(store.create_endpoint(&endpoint, 5).await.unwrap().is_some());
            }
            created
        })
    };
    let (one, other) = (creating(one), creating(other));
    assert_eq!(one.await.unwrap() + other.await.unwrap(), 5);
    let all = world.store.endpoints().await.unwrap();
    assert_eq!(all.len(), 5);
    // A deleted one makes room.
    assert_eq!(world.store.delete_endpoint(all[2].id).await, Ok(true));
    assert_eq!(world.store.delete_endpoint(all[2].id).await, Ok(false));
    assert_eq!(world.store.endpoint(all[2].id).await, Ok(None));
    let endpoint = new_endpoint(world, "https://example.com");
    assert!(world.store.create_endpoint(&endpoint, 5).await.unwrap().is_some());
    let endpoint = new_endpoint(world, "https://example.com");
    assert_eq!(world.store.create_endpoint(&endpoint, 5).await, Ok(None));
}

pub(crate) async fn a_change_changes_what_it_names(world: &World) {
    let mut expected = created(world).await;
    let url = EndpointUrl("https://example.org".into());
    let steps = [
        EndpointChange::default(),
        EndpointChange {
            url: Some(url.clone()),
            types: Some(Some(vec![EventType::MessageAccepted])),
            payload: Some(WebhookPayload::Thin),
            description: Some(Some("text".into())),
            ..EndpointChange::default()
        },
        EndpointChange {
            types: Some(Some(Vec::new())),
            enabled: Some(false),
            ..EndpointChange::default()
        },
        EndpointChange {
            types: Some(None),
            description: Some(None),
            enabled: Some(true),
            ..EndpointChange::default()
        },
    ];
    for change in steps {
        let config = &mut expected.config;
        if let Some(url) = change.url.clone() {
            config.url = url;
        }
        if let Some(types) = change.types.clone() {
            config.types = types;
        }
        if let Some(payload) = change.payload {
            config.payload = payload;
        }
        if let Some(description) = change.description.clone() {
            config.description = description;
        }
        if let Some(enabled) = change.enabled {
            expected.enabled = enabled;
        }
        let changed = world.store.change_endpoint(expected.id, &change).await;
        assert_eq!(changed, Ok(Some(expected.clone())), "{change:?}");
        assert_eq!(read(world, expected.id).await, expected);
    }
    let (unknown, _) = world.mint();
    let changed = world
        .store
        .change_endpoint(unknown.as_uuid().into(), &EndpointChange::default())
        .await;
    assert_eq!(changed, Ok(None));
}

pub(crate) async fn rotated_secrets_also_sign_for_a_while(world: &World) {
    let endpoint = created(world).await;
    let rotate = async |new: u8, kept| {
        let change = EndpointChange {
            rotate: Some((secret(new), kept)),
            ..EndpointChange::default()
        };
        let changed = world.store.change_endpoint(endpoint.id, &change).await;
        let changed = changed.unwrap().unwrap();
        assert_eq!(changed.secret, secret(new));
        assert_eq!(read(world, endpoint.id).await, changed);
        for (_, until) in &changed.previous_secrets {
            assert!(*until >= endpoint.created_at.saturating_add(NOT_YET), "{until:?}");
        }
        let previous = changed.previous_secrets.into_iter();
        previous.map(|(secret, _)| secret).collect::<Vec<_>>()
    };
    let secrets = |bytes: &[u8]| bytes.iter().map(|byte| secret(*byte)).collect::<Vec<_>>();
    assert_eq!(rotate(2, NOT_YET).await, secrets(&[1]));
    assert_eq!(rotate(3, NOT_YET).await, secrets(&[2, 1]));
    // It no longer signs.
    assert_eq!(rotate(4, ALREADY).await, secrets(&[2, 1]));
    let other_change = EndpointChange {
        enabled: Some(true),
        ..EndpointChange::default()
    };
    let changed = world.store.change_endpoint(endpoint.id, &other_change).await;
    assert_eq!(changed.unwrap().unwrap().previous_secrets.len(), 2);
    for new in 5..8 {
        rotate(new, NOT_YET).await;
    }
    assert_eq!(rotate(8, NOT_YET).await, secrets(&[7, 6, 5, 4, 2]));
}

pub(crate) async fn a_checkpoint_moves_the_cursor_and_counts(world: &World) {
    let id = created(world).await.id;
    let events = events(world, 4).await;
    let leased = lease_one(world).await;
    let progress = Checkpoint {
        cursor: events[2].id,
        delivered: 3,
        ..checkpoint(&leased)
    };
    assert!(save(world, &progress).await);
    let endpoint = read(world, id).await;
    assert_eq!((endpoint.cursor, endpoint.delivered_total), (events[2].id, 3));
    let last_delivered_at = endpoint.last_delivered_at;
    assert!(last_delivered_at.is_some() && endpoint.failing_since.is_none());
    // The failing time is that of the first failure, until a success.
    world.pass(NOT_YET / 2).await;
    let failing = Checkpoint {
        cursor: events[3].id,
        failing: true,
        ..checkpoint(&leased)
    };
    assert!(save(world, &failing).await);
    let since = read(world, id).await.failing_since;
    assert!(since.is_some());
    world.clock.advance(Duration::from_secs(5));
    assert!(save(world, &failing).await);
    let idle = Checkpoint {
        cursor: events[3].id,
        ..checkpoint(&leased)
    };
    assert!(save(world, &idle).await);
    let endpoint = read(world, id).await;
    assert_eq!(endpoint.failing_since, since);
    assert_eq!(
        (endpoint.delivered_total, endpoint.last_delivered_at),
        (3, last_delivered_at)
    );
    // A success, and a failure after it.
    let both = Checkpoint {
        delivered: 2,
        ..failing.clone()
    };
    assert!(save(world, &both).await);
    let endpoint = read(world, id).await;
    assert!(endpoint.failing_since > since);
    assert_eq!(endpoint.delivered_total, 5);
    assert!(endpoint.last_delivered_at > last_delivered_at);
    let healthy = Checkpoint {
        failing: false,
        ..both
    };
    assert!(save(world, &healthy).await);
    assert_eq!(read(world, id).await.failing_since, None);
}

pub(crate) async fn a_disabled_endpoint_has_its_event_and_no_lease(world: &World) {
    for reason in [DisabledReason::Gone, DisabledReason::Failing] {
        let id = created(world).await.id;
        let after = world.store.event_log().await.unwrap().end;
        let leased = lease_one(world).await;
        let disable = Checkpoint {
            failing: true,
            disable: Some(reason),
            ..checkpoint(&leased)
        };
        assert!(save(world, &disable).await);
        let endpoint = read(world, id).await;
        assert_eq!(
            (endpoint.enabled, endpoint.disabled_reason),
            (false, Some(reason))
        );
        let events = crate::walks::all_events(&*world.store, after).await;
        let said: Vec<_> = events
            .into_iter()
            .map(|event| (event.kind, event.subject))
            .collect();
        let subject = domain::EventSubject::WebhookEndpoint { id, reason };
        assert_eq!(said, [(EventType::WebhookEndpointDisabled, subject)]);
        assert!(!save(world, &disable).await, "the lease is given back");
        assert_eq!(lease(world, NOT_YET).await, []);
        // Enabling clears what was wrong.
        let change = EndpointChange {
            enabled: Some(true),
            ..EndpointChange::default()
        };
        let enabled = world.store.change_endpoint(id, &change).await.unwrap().unwrap();
        assert_eq!(
            (enabled.enabled, enabled.disabled_reason, enabled.failing_since),
            (true, None, None)
        );
        assert_eq!(enabled.cursor, endpoint.cursor);
        assert_eq!(lease_one(world).await.endpoint.id, id);
        // A client's own decision has no reason.
        let change = EndpointChange {
            enabled: Some(false),
            ..EndpointChange::default()
        };
        let disabled = world.store.change_endpoint(id, &change).await.unwrap().unwrap();
        assert_eq!((disabled.enabled, disabled.disabled_reason), (false, None));
    }
}
