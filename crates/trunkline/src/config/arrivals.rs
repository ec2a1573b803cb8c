//! Where each setting arrives. A new setting needs an entry here.

use std::collections::{BTreeMap, BTreeSet};

use providers::simulator::FaultOverrides;

use super::{Config, Resolved, SETTINGS};

/// A setting, a value that no other has, not even by default, and what then stands in the place where it is used.
struct Arrival {
    key: &'static str,
    value: &'static str,
    place: fn(&Config) -> String,
    expected: &'static str,
}

const fn arrival(
    key: &'static str,
    value: &'static str,
    place: fn(&Config) -> String,
    expected: &'static str,
) -> Arrival {
    Arrival {
        key,
        value,
        place,
        expected,
    }
}

/// A number that stands in its place as it was given.
const fn number(key: &'static str, value: &'static str, place: fn(&Config) -> String) -> Arrival {
    arrival(key, value, place, value)
}

const ARRIVALS: &[Arrival] = &[
    arrival(
        "database_url",
        "sqlite:elsewhere.db",
        |config| config.database_url.clone(),
        "sqlite:elsewhere.db",
    ),
    arrival(
        "bind",
        "127.0.0.2:8099",
        |config| config.bind.to_string(),
        "127.0.0.2:8099",
    ),
    arrival(
        "keys",
        "first-key,second-key",
        |config| format!("{:?}", config.server.api_keys),
        "Some(ApiKeys(2))",
    ),
    arrival(
        "trusted_proxies",
        "10.9.0.0/16",
        |config| {
            let (of_requests, of_connections) = (
                &config.server.trusted_proxies,
                &config.connections.trusted_proxies,
            );
            format!("{of_requests:?} {of_connections:?}")
        },
        "[10.9.0.0/16] [10.9.0.0/16]",
    ),
    arrival(
        "allowed_hosts",
        "inner.example.com",
        |config| format!("{:?}", config.server.allowed_hosts),
        "Some(AllowedHosts([\"inner.example.com\"]))",
    ),
    number("connections_per_address", "132", |config| {
        config.connections.per_address_max.to_string()
    }),
    number("idle_timeout_secs", "133", |config| {
        config.connections.idle_timeout.as_secs().to_string()
    }),
    number("max_body_bytes", "2001", |config| {
        config.server.body_bytes_max.to_string()
    }),
    number("max_attachments", "102", |config| {
        config.server.drafts.attachments_max.to_string()
    }),
    number("snippet_length", "103", |config| {
        config.server.snippet_graphemes.to_string()
    }),
    arrival(
        "default_region",
        "CH",
        |config| format!("{:?}", config.server.drafts.default_region),
        "Some(Region(CH))",
    ),
    arrival(
        "rate_limit_per_ip_per_min",
        "104",
        |config| format!("{:?}", config.engine.limits.per_ip),
        "Some(Quota { per_minute: 104 })",
    ),
    arrival(
        "rate_limit_per_sender_per_min",
        "105",
        |config| format!("{:?}", config.engine.limits.per_sender),
        "Some(Quota { per_minute: 105 })",
    ),
    arrival(
        "rate_limit_webhook_per_ip_per_min",
        "106",
        |config| format!("{:?}", config.engine.limits.webhook_per_ip),
        "Some(Quota { per_minute: 106 })",
    ),
    number("idempotency_ttl_secs", "107", |config| {
        config.engine.idempotency_ttl.as_secs().to_string()
    }),
    number("provider_timeout_pct", "6", |config| {
        config.simulators.config.faults.timeout_pct.to_string()
    }),
    number("provider_error_pct", "7", |config| {
        config.simulators.config.faults.error_pct.to_string()
    }),
    number("provider_ratelimit_pct", "8", |config| {
        config.simulators.config.faults.ratelimit_pct.to_string()
    }),
    arrival(
        "provider_seed",
        "108",
        |config| format!("{:?}", config.simulators.config.faults.seed),
        "Some(108)",
    ),
    arrival(
        "provider_sms_timeout_pct",
        "9",
        |config| format!("{:?}", own(config, "sms-mms").timeout_pct),
        "Some(9)",
    ),
    arrival(
        "provider_sms_error_pct",
        "11",
        |config| format!("{:?}", own(config, "sms-mms").error_pct),
        "Some(11)",
    ),
    arrival(
        "provider_sms_ratelimit_pct",
        "13",
        |config| format!("{:?}", own(config, "sms-mms").ratelimit_pct),
        "Some(13)",
    ),
    arrival(
        "provider_sms_seed",
        "109",
        |config| format!("{:?}", own(config, "sms-mms").seed),
        "Some(109)",
    ),
    arrival(
        "provider_email_timeout_pct",
        "14",
        |config| format!("{:?}", own(config, "email").timeout_pct),
        "Some(14)",
    ),
    arrival(
        "provider_email_error_pct",
        "15",
        |config| format!("{:?}", own(config, "email").error_pct),
        "Some(15)",
    ),
    arrival(
        "provider_email_ratelimit_pct",
        "16",
        |config| format!("{:?}", own(config, "email").ratelimit_pct),
        "Some(16)",
    ),
    arrival(
        "provider_email_seed",
        "110",
        |config| format!("{:?}", own(config, "email").seed),
        "Some(110)",
    ),
    number("provider_latency_ms", "111", |config| {
        first(config, |one| one.latency.as_millis())
    }),
    number("provider_retry_after_ms", "112", |config| {
        first(config, |one| one.retry_after.as_millis())
    }),
    arrival(
        "provider_ledger",
        "calls.jsonl",
        |config| format!("{:?}", config.simulators.ledger),
        "Some(\"calls.jsonl\")",
    ),
    arrival(
        "provider_sms_enabled",
        "false",
        |config| has(config, "sms-mms"),
        "false",
    ),
    arrival(
        "provider_email_enabled",
        "false",
        |config| has(config, "email"),
        "false",
    ),
    number("breaker_error_threshold", "113", |config| {
        config.engine.dispatch.lane.breaker.error_threshold.to_string()
    }),
    number("breaker_open_secs", "114", |config| {
        config.engine.dispatch.lane.breaker.open.as_secs().to_string()
    }),
    number("breaker_max_open_secs", "1115", |config| {
        config.engine.dispatch.lane.breaker.max_open.as_secs().to_string()
    }),
    number("breaker_half_open_samples", "116", |config| {
        config.engine.dispatch.lane.breaker.half_open_samples.to_string()
    }),
    number("breaker_half_open_in_flight", "117", |config| {
        config
            .engine
            .dispatch
            .lane
            .breaker
            .half_open_in_flight
            .to_string()
    }),
    number("worker_concurrency", "118", |config| {
        config.engine.dispatch.lane.concurrency.to_string()
    }),
    number("worker_batch_size", "119", |config| {
        config.engine.dispatch.batch_messages_max.to_string()
    }),
    number("worker_poll_ms", "121", |config| {
        config.engine.dispatch.poll.as_millis().to_string()
    }),
    number("worker_call_timeout_ms", "1122", |config| {
        config.engine.dispatch.lane.call_timeout.as_millis().to_string()
    }),
    number("worker_claim_timeout_secs", "123", |config| {
        config.engine.dispatch.lease.as_secs().to_string()
    }),
    number("worker_max_attempts", "124", |config| {
        config.engine.dispatch.attempts_max.to_string()
    }),
    number("worker_backoff_base_ms", "125", |config| {
        let first = config.engine.dispatch.backoff.delay(1, u64::MAX);
        first.as_millis().to_string()
    }),
    number("worker_backoff_max_ms", "1126", |config| {
        let longest = config.engine.dispatch.backoff.delay(u32::MAX, u64::MAX);
        longest.as_millis().to_string()
    }),
    number("deadline_sms_secs", "127", |config| {
        config.engine.deadlines.sms.as_secs().to_string()
    }),
    number("deadline_email_secs", "128", |config| {
        config.engine.deadlines.email.as_secs().to_string()
    }),
    number("commit_batch_max", "129", |config| {
        config.engine.commit_batch_max.to_string()
    }),
    number("commit_queue_max", "130", |config| {
        config.engine.commit_queue_max.to_string()
    }),
    number("lame_duck_secs", "134", |config| {
        config.lame_duck.as_secs().to_string()
    }),
    number("drain_secs", "131", |config| config.drain.as_secs().to_string()),
    arrival("log", "trace", |config| config.log.clone(), "trace"),
    arrival(
        "log_format",
        "pretty",
        |config| format!("{:?}", config.log_format),
        "Pretty",
    ),
];

fn own(config: &Config, provider: &str) -> FaultOverrides {
    let own = config.simulators.config.providers.get(provider);
    own.copied().unwrap_or_default()
}

fn has(config: &Config, provider: &str) -> String {
    let mut instances = config.simulators.instances.iter();
    instances.any(|one| one.name.as_str() == provider).to_string()
}

fn first(config: &Config, of: fn(&providers::simulator::SimulatorInstance) -> u128) -> String {
    let first = config.simulators.instances.first();
    first.map(of).unwrap_or_default().to_string()
}

fn config(arrivals: &[&Arrival]) -> Config {
    let given = arrivals
        .iter()
        .map(|arrival| (arrival.key, arrival.value.to_owned()));
    let resolved = Resolved::merge(None, &BTreeMap::new(), given.collect()).unwrap();
    Config::new(&resolved).unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn every_setting_has_a_place_where_it_arrives() {
    let settings: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
    let arrivals: BTreeSet<&str> = ARRIVALS.iter().map(|arrival| arrival.key).collect();
    let missing: Vec<&&str> = settings.symmetric_difference(&arrivals).collect();
    assert!(
        missing.is_empty(),
        "say in ARRIVALS where these arrive: {missing:?}"
    );
}

#[test]
fn every_value_is_of_one_setting_alone() {
    let defaults: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.default).collect();
    let mut given = BTreeSet::new();
    for Arrival { key, value, .. } in ARRIVALS {
        // There are two flags, and one way to differ from what they are by default.
        let is_own = *value == "false" || given.insert(value);
        assert!(is_own && !defaults.contains(value), "{key} = {value}");
    }
}

/// A node with keys takes any host.
fn goes_with(arrival: &Arrival, other: &Arrival) -> bool {
    (arrival.key, other.key) != ("keys", "allowed_hosts")
}

#[test]
fn all_settings_arrive() {
    let hosts = |arrival: &&Arrival| arrival.key != "allowed_hosts" && !arrival.key.ends_with("_enabled");
    let arrivals: Vec<&Arrival> = ARRIVALS.iter().filter(hosts).collect();
    let config = config(&arrivals);
    for arrival in arrivals {
        assert_eq!((arrival.place)(&config), arrival.expected, "{}", arrival.key);
    }
}

#[test]
fn a_setting_arrives_in_its_own_place_and_in_no_other() {
    let untouched = config(&[]);
    for arrival in ARRIVALS {
        let config = config(&[arrival]);
        for other in ARRIVALS {
            let found = (other.place)(&config);
            if other.key == arrival.key {
                assert_eq!(found, arrival.expected, "{}", arrival.key);
            } else if goes_with(arrival, other) {
                assert_eq!(
                    found,
                    (other.place)(&untouched),
                    "{} by {}",
                    other.key,
                    arrival.key
                );
            }
        }
    }
}
