//! Drafts of every channel, with anything in any part, and two of them for one idempotency key.
#![no_main]

extern crate domain as trunkline_domain;

#[allow(dead_code, reason = "each target makes some of the claims")]
#[path = "../../crates/domain/tests/edge/claims/mod.rs"]
mod claims;

use libfuzzer_sys::fuzz_target;

use claims::draft::{Sketch, of_sketch, of_two_sketches};
use domain::{Channel, DraftRules};

type Given<'a> = Option<&'a str>;
type Parts<'a> = (bool, u8, [Given<'a>; 5], Option<Vec<&'a str>>);

const RULES: DraftRules = DraftRules {
    default_region: None,
    attachments_max: 3,
};

fuzz_target!(|drafts: (Parts<'_>, Parts<'_>)| {
    let (one, other) = (sketch(drafts.0), sketch(drafts.1));
    of_sketch(&one, &RULES);
    of_two_sketches(&one, &other);
});

fn sketch((lenient, channel, texts, attachments): Parts<'_>) -> Sketch {
    let [from, to, subject, body, timestamp] = texts.map(|text| text.map(str::to_owned));
    let owned = |urls: Vec<&str>| urls.into_iter().map(str::to_owned).collect();
    Sketch {
        lenient,
        channel: Channel::ALL[usize::from(channel) % Channel::ALL.len()],
        from,
        to,
        subject,
        body,
        attachments: attachments.map(owned),
        timestamp,
    }
}
