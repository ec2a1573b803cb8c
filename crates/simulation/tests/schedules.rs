//! No fault breaks a promise.

use std::sync::Mutex;

use simulation::{NAMED_SEEDS, Plan, campaign, explain, run, run_seed};

/// Schedules of one test run. For a night of them see docs/simulation.md.
const SCHEDULES: u64 = 2_000;
const THREADS: usize = 2;
/// Schedules that run twice.
const TWICE: u64 = 200;

#[test]
fn no_schedule_breaks_a_rule() {
    let outcome = campaign(0, SCHEDULES, THREADS, |_, _| {});
    let failures: Vec<String> = outcome
        .failures
        .iter()
        .map(|(seed, violations)| explain(*seed, violations))
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(outcome.runs, SCHEDULES);
    assert!(outcome.calls > SCHEDULES * 10, "too few calls to prove anything");
}

#[test]
fn named_seeds_break_no_rule() {
    for named in NAMED_SEEDS {
        let violations = run_seed(named.seed).violations;
        assert!(
            violations.is_empty(),
            "{}: {}",
            named.name,
            explain(named.seed, &violations)
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let first = Mutex::new(Vec::new());
    campaign(0, TWICE, THREADS, |seed, report| {
        first.lock().unwrap().push((seed, report.trace_hash))
    });
    let first = first.into_inner().unwrap();
    for (seed, hash) in &first {
        // Whether the trace is printed makes no difference.
        assert_eq!(run(&Plan::of(*seed), true).trace_hash, *hash, "seed {seed}");
    }
    let mut different: Vec<u64> = first.iter().map(|(_, hash)| *hash).collect();
    different.sort_unstable();
    different.dedup();
    assert_eq!(
        different.len() as u64,
        TWICE,
        "different seeds are different runs"
    );
}
