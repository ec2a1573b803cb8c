//! Texts as addresses of every channel, in every region, and two of them in one conversation.
#![no_main]

extern crate domain as trunkline_domain;

#[allow(dead_code, reason = "each target makes some of the claims")]
#[path = "../../crates/domain/tests/edge/claims/mod.rs"]
mod claims;

use libfuzzer_sys::fuzz_target;

use std::sync::LazyLock;

use domain::Region;

/// Every region with phone numbers of its own.
static REGIONS: LazyLock<Vec<Region>> = LazyLock::new(|| {
    let codes = (b'A'..=b'Z').flat_map(|one| (b'A'..=b'Z').map(move |other| [one, other]));
    codes
        .filter_map(|code| std::str::from_utf8(&code).ok()?.parse().ok())
        .collect()
});

fuzz_target!(|input: (u8, &str, &str)| {
    let (region, other, text) = input;
    claims::address::of_text(text);
    claims::address::of_text_in(text, REGIONS[usize::from(region) % REGIONS.len()]);
    claims::address::of_two_texts(text, other);
});
