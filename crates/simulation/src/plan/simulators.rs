use std::time::Duration;

use providers::simulator::{Faults, SimulatorSettings};

use crate::draw::Draw;

/// Share of worlds with the product's providers.
const WORLDS_PERMILLE: u32 = 150;

/// The product's simulators with a seed, the same on every node of a world.
pub(super) fn draw(draw: &Draw) -> Option<SimulatorSettings> {
    let share = |draw: &Draw| draw.pick(&[0, 0, 5, 25]);
    draw.permille(WORLDS_PERMILLE).then(|| {
        let faults = Faults {
            timeout_pct: share(draw),
            error_pct: share(draw),
            ratelimit_pct: share(draw),
            seed: Some(draw.below(1_000)),
            ..Faults::default()
        };
        let mut settings = SimulatorSettings {
            config: faults.into(),
            ..SimulatorSettings::default()
        };
        settings.config.faults.latency = draw.millis(0, 50);
        let retry_after = Duration::from_secs(draw.pick(&[1, 7]));
        for instance in &mut settings.instances {
            instance.retry_after = retry_after;
        }
        settings
    })
}
