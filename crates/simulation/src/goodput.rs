//! Throughput of a slow link while more and more clients send large messages.

use std::{net::IpAddr, sync::Arc, time::Duration};

use domain::Channel;
use engine::{LimitSettings, Rejection, SendError};
use store::Deadlines;

use crate::{
    plan::{MessageProfile, Plan, SendPlan, Settings},
    workload,
    world::{World, block_on},
};

/// How long a client waits for an answer: longer than any may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a refused client waits before its next request.
const PAUSE: Duration = Duration::from_millis(1_000);

/// Clients that send without a pause, and their link.
#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    /// How many send at the same time.
    pub clients: usize,
    /// The size of each message.
    pub body_bytes: usize,
    /// The speed of the link to the database.
    pub bytes_per_second: u64,
    pub lasting: Duration,
}

/// The answers the clients got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Goodput {
    pub acknowledged: usize,
    /// Certainly refused.
    pub refused: usize,
    /// The outcome is unknown.
    pub unknown: usize,
    /// No answer in time.
    pub unanswered: usize,
    /// The longest time to an answer.
    pub slowest: Duration,
}

/// Lets a crowd send to one healthy node with a slow link.
#[must_use]
pub fn goodput(crowd: Crowd) -> Goodput {
    let plan = Plan {
        seed: 0,
        settings: settings(crowd),
        operations: Vec::new(),
        faults: Vec::new(),
    };
    block_on(async {
        let world = World::new(&plan, false);
        world.start();
        let clients: Vec<_> = (0..crowd.clients)
            .map(|client| tokio::spawn(send_on(Arc::clone(&world), crowd, client)))
            .collect();
        let mut total = Goodput::default();
        for client in clients {
            let one = client.await.expect("a client does not panic");
            total.acknowledged += one.acknowledged;
            total.refused += one.refused;
            total.unknown += one.unknown;
            total.unanswered += one.unanswered;
            total.slowest = total.slowest.max(one.slowest);
        }
        world.end();
        total
    })
}

fn settings(crowd: Crowd) -> Settings {
    let mut settings = Plan::of(0).settings;
    settings.nodes = 1;
    settings.chaos = crowd.lasting;
    settings.yields_permille = 0;
    settings.link = Some(crowd.bytes_per_second);
    settings.store_trip_max = Duration::from_millis(1);
    settings.provider_trip_max = Duration::from_millis(1);
    settings.simulators = None;
    let engine = &mut settings.engine;
    let an_hour = Duration::from_secs(3_600);
    engine.deadlines = Deadlines {
        sms: an_hour,
        email: an_hour,
    };
    engine.limits = LimitSettings::per_minute(1_000_000, 1_000_000, 1_000_000);
    // The product's defaults.
    (engine.commit_batch_max, engine.commit_queue_max) = (512, 4_096);
    engine.dispatch.lane.concurrency = 32;
    engine.dispatch.batch_messages_max = 100;
    settings
}

async fn send_on(world: Arc<World>, crowd: Crowd, client: usize) -> Goodput {
    let mut got = Goodput::default();
    let time = world.common.time;
    for number in 0.. {
        let began = time.elapsed();
        if began >= crowd.lasting {
            break;
        }
        let plan = SendPlan {
            group: (client * 100_000 + number) as u32,
            says: 0,
            keyed: false,
            channel: Channel::Email,
            from: client % 8,
            to: (client + 1) % 8,
            profile: MessageProfile::Plain,
            padding: crowd.body_bytes,
            written_ms: None,
            send_after: None,
            patience: PATIENCE,
            tries: 1,
            client: 0,
        };
        let (message, request) = workload::to_send(&plan, 0, world.common.database.now());
        let life = world.nodes[0].life().expect("nothing ends it");
        let engine = Arc::clone(&life.engine);
        let answer = life
            .request(PATIENCE, async move {
                engine.limits().check_ip(IpAddr::from([192, 0, 2, 1]));
                engine.send(message, request).await.result
            })
            .await;
        got.slowest = got.slowest.max(time.elapsed() - began);
        match answer {
            Some(Ok(_)) => got.acknowledged += 1,
            Some(Err(SendError::NotAccepted(Rejection::OutcomeUnknown))) => got.unknown += 1,
            Some(Err(_)) => {
                got.refused += 1;
                tokio::time::sleep(PAUSE).await;
            }
            None => got.unanswered += 1,
        }
    }
    got
}
