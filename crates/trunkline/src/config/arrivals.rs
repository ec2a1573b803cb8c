//! Each setting arrives in its own place.

use std::collections::{BTreeMap, BTreeSet};

use super::{Config, Resolved, SETTINGS};

/// A value for each setting that no other setting has, not even by default. `arrivals.txt` shows where they arrive.
const VALUES: &[(&str, &str)] = &[
    ("database_url", "sqlite:elsewhere.db"),
    ("bind", "127.0.0.2:8099"),
    ("keys", "first-key,second-key"),
    ("trusted_proxies", "10.9.0.0/16"),
    ("allowed_hosts", "inner.example.com"),
    ("connections_per_address", "132"),
    ("idle_timeout_secs", "133"),
    ("max_body_bytes", "2001"),
    ("max_attachments", "102"),
    ("snippet_length", "103"),
    ("default_region", "CH"),
    ("rate_limit_per_ip_per_min", "104"),
    ("rate_limit_per_sender_per_min", "105"),
    ("rate_limit_webhook_per_ip_per_min", "106"),
    ("idempotency_ttl_secs", "107"),
    ("events_retention_secs", "138"),
    ("webhook_allowed_networks", "10.139.0.0/16"),
    ("provider_timeout_pct", "6"),
    ("provider_error_pct", "7"),
    ("provider_ratelimit_pct", "8"),
    ("provider_rejected_pct", "27"),
    ("provider_timeout_taken_pct", "28"),
    ("provider_seed", "108"),
    ("provider_sms_timeout_pct", "9"),
    ("provider_sms_error_pct", "11"),
    ("provider_sms_ratelimit_pct", "13"),
    ("provider_sms_rejected_pct", "29"),
    ("provider_sms_timeout_taken_pct", "31"),
    ("provider_sms_latency_ms", "140"),
    ("provider_sms_latency_max_ms", "141"),
    ("provider_sms_seed", "109"),
    ("provider_email_timeout_pct", "14"),
    ("provider_email_error_pct", "15"),
    ("provider_email_ratelimit_pct", "16"),
    ("provider_email_rejected_pct", "32"),
    ("provider_email_timeout_taken_pct", "33"),
    ("provider_email_latency_ms", "142"),
    ("provider_email_latency_max_ms", "143"),
    ("provider_email_seed", "110"),
    ("provider_receipts_delivered_pct", "17"),
    ("provider_receipts_undelivered_pct", "18"),
    ("provider_receipts_delay_ms", "135"),
    ("provider_receipts_duplicate_pct", "19"),
    ("provider_sms_receipts_delivered_pct", "21"),
    ("provider_sms_receipts_undelivered_pct", "22"),
    ("provider_sms_receipts_delay_ms", "136"),
    ("provider_sms_receipts_duplicate_pct", "23"),
    ("provider_email_receipts_delivered_pct", "24"),
    ("provider_email_receipts_undelivered_pct", "25"),
    ("provider_email_receipts_delay_ms", "137"),
    ("provider_email_receipts_duplicate_pct", "26"),
    ("provider_latency_ms", "111"),
    ("provider_latency_max_ms", "144"),
    ("provider_retry_after_ms", "112"),
    ("provider_ledger", "calls.jsonl"),
    ("sandboxes", "false"),
    ("breaker_error_threshold", "113"),
    ("breaker_open_secs", "114"),
    ("breaker_max_open_secs", "1115"),
    ("breaker_half_open_samples", "116"),
    ("breaker_half_open_in_flight", "117"),
    ("worker_concurrency", "118"),
    ("worker_batch_size", "119"),
    ("worker_poll_ms", "121"),
    ("worker_call_timeout_ms", "1122"),
    ("worker_claim_timeout_secs", "123"),
    ("worker_max_attempts", "124"),
    ("worker_backoff_base_ms", "125"),
    ("worker_backoff_max_ms", "1126"),
    ("deadline_sms_secs", "127"),
    ("deadline_email_secs", "128"),
    ("commit_batch_max", "129"),
    ("commit_queue_max", "130"),
    ("lame_duck_secs", "134"),
    ("drain_secs", "131"),
    ("log", "trace"),
    ("log_format", "pretty"),
];

/// These have two values only; a test of their own covers them.
const FLAGS: [(&str, &str); 2] = [
    ("provider_sms_enabled", "email"),
    ("provider_email_enabled", "sms-mms"),
];

fn config(values: &[(&'static str, &str)]) -> Config {
    let given = values.iter().map(|(key, value)| (*key, (*value).to_owned()));
    let resolved = Resolved::merge(None, &BTreeMap::new(), given.collect()).unwrap();
    Config::new(&resolved).unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn each_setting_arrives_in_its_own_place() {
    let shown = format!("{:#?}\n", config(VALUES));
    assert_eq!(
        shown,
        include_str!("arrivals.txt"),
        "compare with arrivals.txt:\n{shown}"
    );
    // A node without keys checks the host.
    let allowed_hosts = config(&[("allowed_hosts", "inner.example.com")])
        .server
        .allowed_hosts;
    assert_eq!(
        format!("{allowed_hosts:?}"),
        "Some(AllowedHosts([\"inner.example.com\"]))"
    );
    for (key, left) in FLAGS {
        let instances = config(&[(key, "false")]).simulators.instances;
        let names: Vec<_> = instances.iter().map(|instance| instance.name.as_str()).collect();
        assert_eq!(names, [left], "{key}");
    }
}

#[test]
fn all_settings_have_a_value_of_their_own_here() {
    let keys: BTreeSet<&str> = VALUES.iter().chain(&FLAGS).map(|(key, _)| *key).collect();
    assert!(
        SETTINGS
            .iter()
            .map(|setting| setting.key)
            .all(|key| keys.contains(key))
    );
    let values: BTreeSet<&str> = VALUES.iter().map(|(_, value)| *value).collect();
    assert_eq!(values.len(), VALUES.len());
    assert!(SETTINGS.iter().all(|setting| !values.contains(setting.default)));
}
