//! Settings of every kind, valid and invalid, from all sources at once.

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::select};

use super::{
    Config, OWN_SETTINGS, Resolved, SETTINGS, Setting,
    claims::{self, SECRET},
};

/// Inputs for each property.
const CASES: u32 = 500;

fn key() -> impl Strategy<Value = &'static str> {
    select(SETTINGS.iter().map(|setting| setting.key).collect::<Vec<_>>())
}

/// Values that all settings take, that some take, and that none takes.
fn value() -> impl Strategy<Value = String> {
    let plain = [
        "",
        "0",
        "1",
        "10",
        "60",
        "100",
        "101",
        "1024",
        "30000",
        "604800",
        "18446744073709551615",
        "18446744073709551616",
        "-1",
        "+5",
        "1.5",
        "1e3",
        " 7",
        "true",
        "false",
        "TRUE",
        "json",
        "info",
        "US",
        "XX",
        "us",
        "127.0.0.1:0",
        "0.0.0.0:80",
        "[::1]:8080",
        "localhost:8080",
        "10.0.0.0/8, fd00::/8",
        "10.0.0.0/33",
        ",",
        "sqlite:a.db",
        "short",
        "\0",
        "\u{ff11}",
    ];
    prop_oneof![
        6 => select(plain.to_vec()).prop_map(str::to_owned),
        2 => (0_u64..200_000).prop_map(|number| number.to_string()),
        1 => Just(SECRET.to_owned()),
        1 => Just(format!("{SECRET},{SECRET},x")),
        1 => Just(format!("postgres://u:{SECRET}@h/d")),
        1 => "(?s).{0,20}",
    ]
}

/// A value in a file, quoted or not.
fn written() -> impl Strategy<Value = String> {
    let odd = [
        "1",
        "-1",
        "9223372036854775807",
        "9223372036854775808",
        "0x10",
        "1_000",
        "1.5",
        "nan",
        "true",
        "[]",
        "[1]",
        "[\"a\", 1]",
        "[\"first-key\", \"second-key\"]",
        "{}",
        "{a = 1}",
        "2026-11-21",
        "'''\na'''",
        "",
        "\"",
        "\"\\ud800\"",
        "[[",
        "inf",
    ];
    prop_oneof![
        3 => value().prop_map(|value| format!("{value:?}")),
        1 => value(),
        3 => select(odd.to_vec()).prop_map(str::to_owned),
        1 => (0_usize..2_000).prop_map(|depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth))),
    ]
}

fn file() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        9 => key().prop_map(str::to_owned),
        1 => "[a-z_.\"-]{1,12}",
        1 => Just(SECRET.to_owned()),
    ];
    let line = prop_oneof![
        9 => (name, written()).prop_map(|(key, value)| format!("{key} = {value}")),
        1 => "\\PC{0,20}",
        1 => select(vec!["[server]", "[provider]", "[[provider]]", "[[route]]"]).prop_map(str::to_owned),
    ];
    prop::collection::vec(line, 0..4).prop_map(|lines| lines.join("\n"))
}

fn variables() -> impl Strategy<Value = BTreeMap<String, String>> {
    let name = prop_oneof![9 => key().prop_map(variable), 1 => "(API_)?[A-Z_]{1,8}"];
    prop::collection::btree_map(name, value(), 0..4)
}

fn variable(key: &str) -> String {
    Setting::of(key).unwrap().variable()
}

#[test]
fn a_number_beyond_either_end_is_refused_with_its_name_and_the_range() {
    let ranges = SETTINGS
        .iter()
        .filter_map(|setting| Some((setting.key, claims::range(setting)?)));
    for (key, (least, most)) in ranges {
        let told = |number: u64| {
            let variables = BTreeMap::from([(variable(key), number.to_string())]);
            let resolved = Resolved::merge(None, &variables, BTreeMap::new()).unwrap();
            Config::new(&resolved).map_err(|error| error.to_string())
        };
        let range = format!("from {least} to {most}");
        for number in [least.checked_sub(1), most.checked_add(1)].into_iter().flatten() {
            let told = told(number).unwrap_err();
            assert!(
                told.starts_with(&variable(key)) && told.contains(&range),
                "{number}: {told}"
            );
        }
        // An end may contradict another setting, which is another error.
        for number in [least, most] {
            let told = told(number).err().unwrap_or_default();
            assert!(!told.contains(&range), "{number}: {told}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn settings_fit_or_the_error_names_what_does_not(
        file in prop::option::of(file()), variables in variables(), flags in prop::collection::btree_map(key(), value(), 0..3),
    ) {
        claims::of_sources(file.as_deref(), &variables, &flags);
    }

    #[test]
    fn one_setting_is_taken_or_named(key in key(), value in value()) {
        claims::of_sources(None, &BTreeMap::from([(variable(key), value.clone())]), &BTreeMap::new());
        claims::of_sources(Some(&format!("{key} = {value:?}")), &BTreeMap::new(), &BTreeMap::new());
    }

    #[test]
    fn a_key_of_a_provider_is_taken_or_named((key, _) in select(OWN_SETTINGS.to_vec()), value in written()) {
        let file = format!("[[provider]]\nname = 'a'\nkind = 'simulator'\nchannels = ['sms']\n{key} = {value}");
        claims::of_sources(Some(&file), &BTreeMap::new(), &BTreeMap::new());
    }

    #[test]
    fn numbers_that_do_not_fit_together_are_named(
        numbers in prop::collection::btree_map(prop_oneof![
            Just("worker_call_timeout_ms"), Just("worker_claim_timeout_secs"), Just("worker_backoff_base_ms"),
            Just("worker_backoff_max_ms"), Just("breaker_open_secs"), Just("breaker_max_open_secs"), Just("provider_error_pct"),
            Just("provider_timeout_pct"), Just("provider_sms_error_pct"), Just("provider_email_ratelimit_pct"),
            Just("provider_sms_rejected_pct"), Just("provider_latency_ms"), Just("provider_email_latency_max_ms"),
        ], (1_u64..100).prop_map(|number| number.to_string()), 1..6),
    ) {
        claims::of_sources(None, &BTreeMap::new(), &numbers);
    }
}
