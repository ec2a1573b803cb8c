//! What comes from outside, in any shape: every text is read or refused, by the grammar of the contract and not by
//! accident.
//!
//! `claims` says what must hold of one input, whatever it is, and knows nothing of where it comes from: here proptest makes
//! inputs up, valid ones and their near misses, and in `fuzz/` (docs/fuzzing.md) libFuzzer does.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it stands"
)]

mod address;
mod address_table;
mod attachments;
mod claims;
mod cursor;
mod draft;
mod idempotency_key;
mod ids;
mod near_miss;
mod snippet;
mod timestamp;

use proptest::{prelude::ProptestConfig, test_runner::RngSeed};

/// Inputs for each property. All of them together take a few seconds in a debug build.
const CASES: u32 = 1_000;

/// A finding becomes a named case beside the code, so no file has to remember it.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[test]
fn what_is_made_up_is_the_same_in_every_run() {
    assert!(
        matches!(config().rng_seed, RngSeed::Fixed(_)),
        "the seed is set in .cargo/config.toml, for all crates"
    );
}
