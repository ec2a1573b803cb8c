//! Input from outside is parsed or refused by the grammar of the contract.
//!
//! `claims` checks one input. Here proptest generates inputs, valid ones and near misses; in `fuzz/` (docs/fuzzing.md) libFuzzer
//! does.

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

/// Inputs for each property: a few seconds in a debug build.
const CASES: u32 = 1_000;

/// A finding becomes a case in the unit tests, so no file of failures is kept.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[test]
fn every_run_generates_the_same_inputs() {
    assert!(
        matches!(config().rng_seed, RngSeed::Fixed(_)),
        "the seed is set in .cargo/config.toml, for all crates"
    );
}
