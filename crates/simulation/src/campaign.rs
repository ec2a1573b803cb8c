//! Many schedules on several threads. Each run has a thread and a runtime of its own.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

use crate::{Plan, Report, Violation, run};

/// The results of many schedules.
#[derive(Debug, Default)]
pub struct Outcome {
    pub runs: u64,
    /// Simulated time.
    pub simulated: Duration,
    pub requests: u64,
    pub calls: u64,
    /// The schedules that broke a rule, by seed.
    pub failures: Vec<(u64, Vec<Violation>)>,
}

/// Runs `seeds` schedules from seed `from` on `threads` threads, and calls `each` after each of them. Stops early after ten
/// failures.
pub fn campaign(from: u64, seeds: u64, threads: usize, each: impl Fn(u64, &Report) + Sync) -> Outcome {
    let next = AtomicU64::new(from);
    let outcome = Mutex::new(Outcome::default());
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        let enough = outcome.lock().failures.len() >= 10;
        if seed >= from + seeds || enough {
            return;
        }
        let report = run_seed(seed);
        each(seed, &report);
        let mut outcome = outcome.lock();
        outcome.runs += 1;
        outcome.simulated += report.simulated;
        outcome.requests += report.requests as u64;
        outcome.calls += report.calls as u64;
        if !report.violations.is_empty() {
            outcome.failures.push((seed, report.violations));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut outcome = outcome.into_inner();
    outcome.failures.sort_unstable_by_key(|(seed, _)| *seed);
    outcome
}

/// Runs the schedule of a seed. A panic of the simulation itself is a finding too.
#[must_use]
pub fn run_seed(seed: u64) -> Report {
    // Nothing of a run outlives it.
    catch_unwind(AssertUnwindSafe(|| run(&Plan::of(seed), false))).unwrap_or_else(|_| Report {
        violations: vec![Violation {
            rule: "a run comes to its end",
            at: Duration::ZERO,
            detail: "it panicked".to_owned(),
        }],
        trace_hash: 0,
        trace: None,
        simulated: Duration::ZERO,
        requests: 0,
        calls: 0,
    })
}

/// The report of a failed schedule: the rules it broke, its world, and the command that shows it again.
#[must_use]
pub fn explain(seed: u64, violations: &[Violation]) -> String {
    let plan = Plan::of(seed);
    let rules: Vec<String> = violations
        .iter()
        .map(|violation| format!("  {violation}\n"))
        .collect();
    let faults: Vec<String> = plan
        .faults
        .iter()
        .map(|fault| format!("  {:>7.3} s {:?}\n", fault.at.as_secs_f64(), fault.kind))
        .collect();
    format!(
        "seed {seed} broke:\n{}{:#?}\n{} operations, faults:\n{}replay: cargo run -p trunkline-simulation -- replay {seed} --trace\n",
        rules.concat(),
        plan.settings,
        plan.operations.len(),
        faults.concat(),
    )
}
