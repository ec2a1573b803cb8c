//! The simulation catches every planted bug. Run it with bin/planted-bugs.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use mutants::Mutant;
use simulation::{SEEDS_MAX, hunt, run_seed};

const THREADS: usize = 2;
/// Schedules without a planted bug.
const CLEAN: u64 = 50;

/// Otherwise every bug would seem to be caught.
#[test]
fn no_rule_breaks_without_a_planted_bug() {
    let broken: Vec<u64> = (0..CLEAN)
        .filter(|seed| !run_seed(*seed).violations.is_empty())
        .collect();
    assert!(broken.is_empty(), "seeds {broken:?}");
}

#[test]
fn every_planted_bug_is_caught() {
    let next = AtomicUsize::new(0);
    let missed = Mutex::new(Vec::new());
    let work = || {
        while let Some(mutant) = Mutant::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            match hunt(*mutant) {
                Some((seed, violation)) => println!("{:<24} seed {seed:>3} {violation}", mutant.name()),
                None => missed.lock().unwrap().push(mutant.name()),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(
        missed.is_empty(),
        "not caught within {SEEDS_MAX} seeds: {missed:?}"
    );
}
