use std::{collections::BTreeMap, time::Duration};

use engine::{DispatchSettings, EngineSettings, LaneSettings, LimitSettings};
use providers::simulator::SimulatorSettings;
use resilience::{Backoff, BreakerSettings};
use store::Deadlines;

use super::Lifecycle;
use crate::draw::Draw;

/// The shape of the world: its nodes, their settings, and the speed of everything without faults.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Nodes that share the store.
    pub nodes: usize,
    /// How long faults happen.
    pub chaos: Duration,
    /// Of every node.
    pub engine: EngineSettings,
    /// Share of polls in which a task yields to others.
    pub yields_permille: u32,
    /// The longest trip to the store or back.
    pub store_trip_max: Duration,
    /// Bytes a second to and from the database, for all nodes together; `None`: unlimited.
    pub link: Option<u64>,
    /// Whether messages are read while they are in flight.
    pub readers: bool,
    /// Receipts, cancellations, scheduled messages, events and webhooks; `None` without them.
    pub lifecycle: Option<Lifecycle>,
    /// The longest trip to a provider or back.
    pub provider_trip_max: Duration,
    /// Whether the health of providers changes now and then, also without other faults.
    pub providers_misbehave: bool,
    /// The product's simulators instead of the simulation's providers, in some worlds.
    pub simulators: Option<SimulatorSettings>,
    /// The kinds of faults in this world: few kinds reach states that many do not.
    pub fault_kinds: Vec<usize>,
    /// When many clients come at once, so that queues and limits matter; faults prefer these moments too.
    pub bursts: Vec<Duration>,
    /// Requests of clients.
    pub operations: usize,
}

impl Settings {
    pub(super) fn draw(draw: &Draw) -> Self {
        let lease = draw.pick(&[6_000, 10_000, 15_000, 30_000]);
        let call_timeout = Duration::from_millis(lease / draw.pick(&[2, 3, 6]));
        let limit = |draw: &Draw| draw.pick(&[3, 6, 20, 1_000]);
        let limits = LimitSettings::per_minute(draw.pick(&[10, 60, 1_000]), limit(draw), 1_000);
        let base = draw.pick(&[100, 500, 2_000]);
        let backoff = Backoff::new(
            Duration::from_millis(base),
            Duration::from_millis(base * draw.pick(&[1, 4, 20])),
        )
        .expect("the base is shorter than the maximum");
        let open = draw.pick(&[1, 1, 3, 10]);
        let breaker = BreakerSettings {
            error_threshold: draw.pick(&[1, 1, 2, 5]),
            open: Duration::from_secs(open),
            max_open: Duration::from_secs(open * draw.pick(&[1, 3])),
            half_open_samples: draw.pick(&[1, 1, 3, 5]),
            half_open_in_flight: draw.pick(&[1, 2]),
        };
        let lane = LaneSettings {
            concurrency: draw.pick(&[1, 2, 4, 16]),
            call_timeout,
            breaker,
            has_breaker: true,
        };
        let dispatch = DispatchSettings {
            batch_messages_max: draw.pick(&[1, 2, 8, 100]),
            poll: draw.millis(500, 4_000),
            lease: Duration::from_millis(lease),
            attempts_max: draw.pick(&[1, 3, 5, 12]),
            backoff,
            default_region: None,
            lane,
            lanes: BTreeMap::new(),
        };
        let deadline = |draw: &Draw| Duration::from_secs(draw.pick(&[20, 60, 300, 3_600]));
        let engine = EngineSettings {
            deadlines: Deadlines {
                sms: deadline(draw),
                email: deadline(draw),
            },
            idempotency_ttl: Duration::from_secs(86_400),
            events_retention: Duration::from_secs(604_800),
            commit_batch_max: draw.pick(&[1, 2, 8, 512]),
            commit_queue_max: draw.pick(&[1, 4, 64, 4_096]),
            limits,
            dispatch,
        };
        let chaos = draw.between(20, 150);
        let all_kinds = super::faults::KINDS;
        let share = draw.pick(&[0, 200, 500, 900]);
        Self {
            nodes: draw.between(1, 3) as usize,
            chaos: Duration::from_secs(chaos),
            engine,
            yields_permille: draw.pick(&[0, 0, 20, 200]),
            store_trip_max: Duration::from_millis(draw.pick(&[1, 3, 20])),
            link: None,
            readers: false,
            lifecycle: None,
            provider_trip_max: Duration::from_millis(draw.pick(&[1, 30, 400])),
            providers_misbehave: draw.permille(850),
            simulators: None,
            fault_kinds: (0..all_kinds).filter(|_| draw.permille(share)).collect(),
            bursts: (0..draw.below(4))
                .map(|_| draw.millis(0, chaos * 1_000))
                .collect(),
            operations: draw.between(20, 200) as usize,
        }
    }
}
