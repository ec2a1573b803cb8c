//! Texts as ids and names of every kind.
#![no_main]

extern crate domain as trunkline_domain;

#[allow(dead_code, reason = "each target makes some of the claims")]
#[path = "../../crates/domain/tests/edge/claims/mod.rs"]
mod claims;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| claims::ids::of_text(text));
