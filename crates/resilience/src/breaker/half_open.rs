//! One half-open round: a few probes and their results.

use std::time::Duration;

use super::settings::{BreakerSettings, HALF_OPEN_UNDECIDED};

/// Lives from the end of a cool-down until the round is decided.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Start of the window (`HALF_OPEN_UNDECIDED`) at whose end the round decides on the results it has.
    window_start: Duration,
    good: u32,
    bad: u32,
    /// At most `half_open_in_flight` entries, oldest first. One entry for each probe, since a probe that was given up loses
    /// its vote while a younger one keeps it.
    in_flight: Vec<Probe>,
}

#[derive(Debug)]
struct Probe {
    serial: u64,
    admitted_at: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Undecided,
    ProviderIsBack,
    StillFailing,
}

impl Round {
    pub(super) fn begin(now: Duration) -> Self {
        Self {
            window_start: now,
            ..Self::default()
        }
    }

    /// Probes that may start now, limited by those in flight and by the places left in the sample.
    pub(super) fn permits(&self, settings: &BreakerSettings) -> u32 {
        self.permits_beside(self.in_flight.len(), settings)
    }

    /// What [`permits`](Self::permits) returns after [`start_over`](Self::start_over).
    pub(super) fn permits_after_start_over(&self, now: Duration, settings: &BreakerSettings) -> u32 {
        let kept = self.in_flight.iter().filter(|probe| !probe.is_lost(now)).count();
        self.permits_beside(kept, settings)
    }

    pub(super) fn admit(&mut self, serial: u64, now: Duration) {
        self.in_flight.push(Probe {
            serial,
            admitted_at: now,
        });
    }

    /// Counts the result of a probe; false if the probe was given up and has no vote.
    pub(super) fn record(&mut self, serial: u64, good: bool) -> bool {
        let has_vote = self.remove(serial);
        if has_vote {
            *if good { &mut self.good } else { &mut self.bad } += 1;
        }
        has_vote
    }

    /// Removes a probe without a result; true if it still held a place.
    pub(super) fn remove(&mut self, serial: u64) -> bool {
        let before = self.in_flight.len();
        self.in_flight.retain(|probe| probe.serial != serial);
        self.in_flight.len() < before
    }

    /// Decides as soon as the outstanding results cannot change the decision.
    pub(super) fn finding(&self, settings: &BreakerSettings) -> Finding {
        let (good, bad) = (u64::from(self.good), u64::from(self.bad));
        let samples = u64::from(settings.half_open_samples);
        // At least two thirds, without fractions.
        if good * 3 >= samples * 2 {
            Finding::ProviderIsBack
        } else if samples.saturating_sub(bad) * 3 < samples * 2 {
            Finding::StillFailing
        } else {
            Finding::Undecided
        }
    }

    pub(super) fn window_remaining(&self, now: Duration) -> Duration {
        HALF_OPEN_UNDECIDED.saturating_sub(now.saturating_sub(self.window_start))
    }

    /// The decision at the end of the window: any failure counts against the provider, any good result for it.
    pub(super) fn finding_at_window_end(&self) -> Finding {
        match (self.good, self.bad) {
            (0, 0) => Finding::Undecided,
            (_, 0) => Finding::ProviderIsBack,
            _ => Finding::StillFailing,
        }
    }

    /// Begins a new window after one without any result.
    ///
    /// Probes as old as a whole window are lost: a call never takes that long. Their places return, or a breaker that lost all
    /// its probes would stay half-open forever. Younger probes may still be at the provider, so they keep place and vote.
    pub(super) fn start_over(&mut self, now: Duration) {
        self.window_start = now;
        self.in_flight.retain(|probe| !probe.is_lost(now));
    }

    fn permits_beside(&self, in_flight: usize, settings: &BreakerSettings) -> u32 {
        let in_flight = u32::try_from(in_flight).unwrap_or(u32::MAX);
        let taken = self.good.saturating_add(self.bad).saturating_add(in_flight);
        let places = settings.half_open_samples.saturating_sub(taken);
        places.min(settings.half_open_in_flight.saturating_sub(in_flight))
    }
}

impl Probe {
    fn is_lost(&self, now: Duration) -> bool {
        now.saturating_sub(self.admitted_at) >= HALF_OPEN_UNDECIDED
    }
}
