use proptest::{option, prelude::*, sample::select};
use trunkline_domain::{Channel, DraftRules};

use crate::{
    claims::{self, draft::Sketch},
    config, near_miss,
};

const PHONES: &[&str] = &["+12016661234", "1 (804) 555-1234", "12345"];
const EMAILS: &[&str] = &[
    "shop@example.com",
    "Customer+tag@Example.com",
    "u@b\u{fc}cher.example",
    "Al Customer <customer@example.com>",
];

/// Around the moment of the check and the earliest time that is believed; some are one instant in two spellings.
const TIMES: &[&str] = &[
    "2026-11-21T10:00:00Z",
    "2026-11-21T11:00:00.000+01:00",
    "2026-11-21T11:00:00Z",
    "2026-11-21T11:00:00.000001Z",
    "1990-01-01T00:00:00Z",
    "1989-12-31T23:59:59.999999Z",
    "0001-01-01T00:00:00Z",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("Hello!".to_owned()),
        1 => Just(String::new()),
        2 => near_miss::any_text(),
        1 => "(?s).{0,20}".prop_map(|text| text + "\0"),
    ]
}

fn urls() -> impl Strategy<Value = Vec<String>> {
    let good = "https://example.com/[a-z]{0,5}";
    let url = prop_oneof![9 => good.boxed(), 1 => near_miss::near(good).boxed()];
    prop::collection::vec(url, 0..5)
}

/// Mostly valid; each part is sometimes wrong.
fn sketch() -> impl Strategy<Value = Sketch> {
    let given = |address: String| {
        option::weighted(
            0.9,
            prop_oneof![6 => Just(address.clone()), 1 => near_miss::near(Just(address))],
        )
    };
    let addresses = select(Channel::ALL).prop_flat_map(move |channel| {
        let pool = if channel == Channel::Email { EMAILS } else { PHONES };
        let address = move || select(pool).prop_map(str::to_owned).prop_flat_map(given);
        (Just(channel), address(), address())
    });
    let timestamp = prop_oneof![
        select(TIMES).prop_map(str::to_owned),
        near_miss::near(select(TIMES).prop_map(str::to_owned)),
        near_miss::any_text(),
    ];
    let parts = (
        option::of(prop_oneof![4 => text(), 1 => "[a-b \r\n\t]{0,6}"]),
        option::weighted(0.9, text()),
        option::of(urls()),
        option::of(timestamp),
    );
    (addresses, parts, any::<bool>()).prop_map(
        |((channel, from, to), (subject, body, attachments, timestamp), lenient)| Sketch {
            lenient,
            channel,
            from,
            to,
            subject,
            body,
            attachments,
            timestamp,
        },
    )
}

/// The same draft, or one that differs in one part.
fn twin(one: &Sketch, other: &Sketch, part: u8) -> Sketch {
    let mut twin = one.clone();
    match part {
        0 => twin.channel = other.channel,
        1 => twin.from.clone_from(&other.from),
        2 => twin.to.clone_from(&other.to),
        3 => twin.subject.clone_from(&other.subject),
        4 => twin.body.clone_from(&other.body),
        5 => twin.attachments.clone_from(&other.attachments),
        6 => twin.timestamp.clone_from(&other.timestamp),
        7 => std::mem::swap(&mut twin.from, &mut twin.to),
        8 => std::mem::swap(&mut twin.subject, &mut twin.body),
        _ => {}
    }
    twin
}

/// Two drafts whose fields give the same bytes if no length separates them.
fn same_bytes(texts: [String; 3]) -> [Sketch; 2] {
    let [one, two, three] = texts;
    let sketch = |from: String, to: String| Sketch {
        lenient: false,
        channel: Channel::Sms,
        from: Some(from),
        to: Some(to),
        subject: None,
        body: None,
        attachments: None,
        timestamp: None,
    };
    // The mark of a present field may also stand in a text.
    let early = sketch(one.clone(), format!("{two}\u{1}{three}"));
    let late = sketch(format!("{one}\u{1}{two}"), three);
    [early, late]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_draft_is_kept_to_the_byte_or_every_error_is_named(
        sketch in sketch(), attachments_max in 0_usize..5, region in option::of(select(&["US", "GB", "DE"][..])),
    ) {
        let default_region = region.map(|region| region.parse().unwrap());
        claims::draft::of_sketch(&sketch, &DraftRules { default_region, attachments_max });
    }

    #[test]
    fn equal_drafts_and_no_others_have_the_same_fingerprint(one in sketch(), other in sketch(), part in 0_u8..9) {
        claims::draft::of_two_sketches(&one, &other);
        claims::draft::of_two_sketches(&one, &twin(&one, &other, part));
    }

    #[test]
    fn fields_are_separated_in_the_fingerprint(texts in prop::array::uniform3("[a-b\u{1}]{0,2}")) {
        let [early, late] = same_bytes(texts);
        claims::draft::of_two_sketches(&early, &late);
    }
}
