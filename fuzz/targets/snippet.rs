//! Texts cut to snippets of any length.
#![no_main]

extern crate domain as trunkline_domain;

#[allow(dead_code, reason = "each target makes some of the claims")]
#[path = "../../crates/domain/tests/edge/claims/mod.rs"]
mod claims;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &str)| claims::snippet::of_text(input.1, input.0.into()));
