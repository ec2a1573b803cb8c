//! Six receivers that behave differently, and nodes that are killed: no event is lost for any of them, events of a conversation arrive
//! in order, and a repeat has the id of the first.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use domain::Entropy;
use hyper::Method;
use parking_lot::Mutex;
use serde_json::json;

use super::{event_log::whole_log, with_receipts};
use crate::{
    faults::with_misbehaving_providers,
    world::{
        Event, Kind, Load, Node, Pace, Receiver, Reply, SOON, Stopwatch, Targets, WebhookCall, World,
        own_addresses, text, until,
    },
};

const KILLS: usize = 6;
const MESSAGES_PER_KILL: usize = 150;
const SLOW: Duration = Duration::from_millis(40);

/// An endpoint of the service, and who receives its events.
struct Registered {
    name: &'static str,
    id: String,
    receiver: Option<Receiver>,
}

impl Registered {
    async fn new(node: &Node, name: &'static str, url: &str, receiver: Option<Receiver>) -> Self {
        let created = node.post("/api/webhook-endpoints", &json!({ "url": url })).await;
        let id = text(&created.expect(201)["id"]);
        Self { name, id, receiver }
    }

    fn receiver(&self) -> &Receiver {
        self.receiver.as_ref().expect("it has one")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_receivers_get_every_event_in_order_through_kills() {
    let [dead] = own_addresses();
    let world = with_receipts(with_misbehaving_providers(World::new(Kind::Postgres)));
    let mut nodes = vec![world.start_node().await, world.start_node().await];
    let endpoints = register(&nodes[0], dead).await;
    let targets = Targets::of(&nodes);
    let pace = Pace {
        clients: 8,
        every: Duration::from_millis(20),
        timeout: Duration::from_secs(5),
    };
    let watch = Stopwatch::start();
    let load = Load::start(&targets, pace);
    let random = Entropy::from_seed(2);
    for _ in 0..KILLS {
        load.until_accepted(MESSAGES_PER_KILL / 2 + random.next_u64() as usize % MESSAGES_PER_KILL)
            .await;
        let place = random.next_u64() as usize % nodes.len();
        nodes.remove(place).kill().await;
        nodes.insert(place, world.start_node().await);
        targets.replace(place, &nodes[place]);
    }
    let report = load.stop().await;
    world.until_all_final(SOON).await;
    // All that is not taken yet is due at once, as after an operator's repair.
    let endpoints = heal(&nodes[0], endpoints, dead).await;
    until("every endpoint has taken everything", SOON * 2, async || {
        for endpoint in &endpoints {
            let path = format!("/api/webhook-endpoints/{}", endpoint.id);
            let pending = nodes[0].get(&format!("{path}/deliveries?status=pending")).await;
            let shown = nodes[0].get(&path).await.expect(200);
            let waiting = pending.expect(200)["items"].as_array().unwrap().len();
            if waiting > 0 || shown["lag"] != 0.0 {
                return None;
            }
        }
        Some(())
    })
    .await;
    let log = whole_log(&nodes[0].client, &nodes[0].url).await;
    for node in nodes {
        node.stop().await;
    }
    for endpoint in &endpoints {
        check(endpoint, &log);
    }
    let fast = endpoints[0].receiver().calls();
    assert!(
        fast.iter().all(|call| call.path == "/hook"),
        "a redirect was followed"
    );
    let disabled: Vec<&Event> = log
        .iter()
        .filter(|event| event.kind == "webhook_endpoint.disabled")
        .collect();
    assert_eq!(disabled.len(), 1, "{disabled:?}");
    assert_eq!(disabled[0].subject, endpoints[5].id);
    println!("{} events for six receivers in {:?}", log.len(), watch.elapsed());
    world.audit_final(&report.offers).await;
}

/// A fast one, a slow one, one that fails for one conversation, one that redirects to the fast one, none at all, and one that is gone.
async fn register(node: &Node, dead: SocketAddr) -> Vec<Registered> {
    let fast = Receiver::start(|_| Reply::of(204)).await;
    let slow = Receiver::start(|_| Reply {
        after: SLOW,
        ..Reply::of(200)
    })
    .await;
    let failing = Mutex::new(None);
    let partial = Receiver::start(move |event: &Event| {
        let mut failing = failing.lock();
        if failing.is_none() && !event.conversation.is_empty() {
            *failing = Some(event.conversation.clone());
        }
        let fails = failing.as_ref() == Some(&event.conversation);
        Reply::of(if fails { 500 } else { 200 })
    })
    .await;
    let location = fast.url.replace("/hook", "/redirected");
    let redirecting = Receiver::start(move |_| Reply {
        location: Some(location.clone()),
        ..Reply::of(307)
    })
    .await;
    let gone = Receiver::start(|_| Reply::of(410)).await;
    let dead = format!("http://{dead}/hook");
    let mut endpoints = Vec::new();
    for (name, url, receiver) in [
        ("fast", fast.url.clone(), Some(fast)),
        ("slow", slow.url.clone(), Some(slow)),
        ("failing for one conversation", partial.url.clone(), Some(partial)),
        ("redirecting", redirecting.url.clone(), Some(redirecting)),
        ("dead", dead, None),
        ("gone", gone.url.clone(), Some(gone)),
    ] {
        endpoints.push(Registered::new(node, name, &url, receiver).await);
    }
    endpoints
}

/// From now on all take everything. Before, each must have failed as it should.
async fn heal(node: &Node, mut endpoints: Vec<Registered>, dead: SocketAddr) -> Vec<Registered> {
    let gone = node
        .get(&format!("/api/webhook-endpoints/{}", endpoints[5].id))
        .await;
    let gone = gone.expect(200);
    assert_eq!(
        (&gone["enabled"], &gone["disabled_reason"]),
        (&json!(false), &json!("gone"))
    );
    endpoints[4].receiver = Some(Receiver::start_at(dead, |_| Reply::of(200)).await);
    for endpoint in &endpoints {
        endpoint.receiver().heal();
        let path = format!("/api/webhook-endpoints/{}", endpoint.id);
        // A busy node may answer 503.
        until("it is enabled", SOON, async || {
            let enable = json!({"enabled": true});
            let answer = node.ask(Method::PATCH, &path, &[], Some(&enable)).await;
            (answer.status != 503).then(|| answer.expect(200))
        })
        .await;
    }
    endpoints
}

fn check(endpoint: &Registered, log: &[Event]) {
    let name = endpoint.name;
    let calls = endpoint.receiver().calls();
    let known: BTreeMap<&str, &Event> = log.iter().map(|event| (&*event.id, event)).collect();
    for WebhookCall { event, .. } in &calls {
        assert_eq!(known.get(&*event.id), Some(&event), "{name}: not in the log");
    }
    let taken: Vec<&Event> = calls
        .iter()
        .filter(|call| call.is_taken())
        .map(|call| &call.event)
        .collect();
    let ids: BTreeSet<&str> = taken.iter().map(|event| &*event.id).collect();
    let lost: Vec<&Event> = log.iter().filter(|event| !ids.contains(&*event.id)).collect();
    assert!(
        lost.is_empty(),
        "{name}: lost {} events, such as {:?}",
        lost.len(),
        lost[0]
    );
    // A call is begun only after all earlier events of its conversation were taken.
    let mut taken_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut events_of: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in log.iter().filter(|event| !event.conversation.is_empty()) {
        events_of.entry(&event.conversation).or_default().push(event);
    }
    for call in calls.iter().filter(|call| !call.event.conversation.is_empty()) {
        let taken = taken_of.entry(&call.event.conversation).or_default();
        let earlier = events_of[&*call.event.conversation]
            .iter()
            .take_while(|event| event.id < call.event.id);
        for event in earlier {
            assert!(
                taken.contains(&*event.id),
                "{name}: {:?} came before {event:?} was taken",
                call.event
            );
        }
        if call.is_taken() {
            taken.insert(&call.event.id);
        }
    }
    println!(
        "{name}: {} calls, {} taken, {} events",
        calls.len(),
        taken.len(),
        ids.len()
    );
}
