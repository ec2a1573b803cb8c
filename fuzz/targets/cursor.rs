//! Texts as cursors of every listing.
#![no_main]

extern crate domain as trunkline_domain;

#[allow(dead_code, reason = "each target makes some of the claims")]
#[path = "../../crates/domain/tests/edge/claims/mod.rs"]
mod claims;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| claims::cursor::of_text(text));
