use std::time::Duration;

use domain::{DeliveryStatus, DisabledReason, Event, EventId, EventSubject, EventType, WebhookEndpointId};
use trunkline_store::{Checkpoint, DeliveryAttempt, KeptDelivery};

use crate::{
    builders::{NOT_YET, instant},
    webhooks::{checkpoint, created, lease_one, pending, save},
    world::World,
};

/// 200 MB are pending, far more than one statement reads in its time.
pub(crate) async fn endpoints_with_many_deliveries_hold_up_no_other(world: &World) {
    const ENDPOINTS: usize = 100;
    const ROWS: u64 = 1_000;
    const LEASED_AT_ONCE: usize = 16;
    let mut held = Vec::new();
    for _ in 0..ENDPOINTS {
        created(world).await;
        let leased = lease_one(world).await;
        for first in (1..=ROWS).step_by(100) {
            let progress = Checkpoint {
                kept: (first..first + 100)
                    .map(|event| large(event, leased.endpoint.id))
                    .collect(),
                ..checkpoint(&leased)
            };
            assert!(insist!(world.store.checkpoint(&progress).await).await);
        }
        held.push(leased);
    }
    for leased in held {
        let id = leased.endpoint.id;
        insist!(world.store.release_endpoint(id, leased.token).await).await;
    }
    let healthy = created(world).await.id;
    let mut leased = Vec::new();
    loop {
        let some = world
            .store
            .lease_endpoints(NOT_YET, LEASED_AT_ONCE as u32)
            .await
            .unwrap();
        let is_last = some.len() < LEASED_AT_ONCE;
        leased.extend(some);
        if is_last {
            break;
        }
    }
    assert_eq!(leased.len(), ENDPOINTS + 1);
    for leased in &leased {
        let pending = pending(world, leased, 256).await;
        let expected = if leased.endpoint.id == healthy { 0 } else { ROWS };
        assert_eq!(pending.len() as u64, expected);
        assert!(save(world, &checkpoint(leased)).await);
    }
}

/// A delivery with 2 KiB of answers.
fn large(event: u64, id: WebhookEndpointId) -> KeptDelivery {
    let attempt = DeliveryAttempt {
        at: instant(1),
        latency: Duration::from_millis(5),
        status: Some(500),
        error: "status".into(),
        answer: "x".repeat(1_024).into(),
    };
    KeptDelivery {
        event: Event {
            id: EventId::new(event).unwrap(),
            kind: EventType::WebhookEndpointDisabled,
            at: instant(1),
            subject: EventSubject::WebhookEndpoint {
                id,
                reason: DisabledReason::Gone,
            },
        },
        status: DeliveryStatus::Pending,
        due_in: Some(NOT_YET),
        attempts: vec![attempt; 2],
    }
}
