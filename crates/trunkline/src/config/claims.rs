//! What must hold of any settings. Also a part of the fuzz targets (docs/fuzzing.md), which know no test framework.

use std::collections::BTreeMap;

use crate::config::{Config, Resolved, SETTINGS};

/// Stands for a key or a password in made-up settings.
pub(crate) const SECRET: &str = "hunter2hunter2";
/// Where made-up files lie.
const PATH: &str = "t.toml";

/// Settings that are whole numbers, and the least and the most they may be.
pub(crate) const RANGES: [(&str, u64, u64); 39] = [
    ("connections_per_address", 1, 4_096),
    ("idle_timeout_secs", 1, 3_600),
    ("max_body_bytes", 1_024, 16_777_216),
    ("max_attachments", 0, 1_000),
    ("snippet_length", 1, 10_000),
    ("rate_limit_per_ip_per_min", 1, 100_000_000),
    ("rate_limit_per_sender_per_min", 1, 100_000_000),
    ("rate_limit_webhook_per_ip_per_min", 1, 100_000_000),
    ("idempotency_ttl_secs", 60, 31_536_000),
    ("provider_timeout_pct", 0, 100),
    ("provider_error_pct", 0, 100),
    ("provider_ratelimit_pct", 0, 100),
    ("provider_sms_timeout_pct", 0, 100),
    ("provider_sms_error_pct", 0, 100),
    ("provider_sms_ratelimit_pct", 0, 100),
    ("provider_email_timeout_pct", 0, 100),
    ("provider_email_error_pct", 0, 100),
    ("provider_email_ratelimit_pct", 0, 100),
    ("provider_latency_ms", 0, 3_600_000),
    ("provider_retry_after_ms", 0, 86_400_000),
    ("breaker_error_threshold", 1, 1_000_000),
    ("breaker_open_secs", 1, 86_400),
    ("breaker_max_open_secs", 1, 604_800),
    ("breaker_half_open_samples", 1, 10_000),
    ("breaker_half_open_in_flight", 1, 10_000),
    ("worker_concurrency", 1, 4_096),
    ("worker_batch_size", 1, 1_000),
    ("worker_poll_ms", 1, 60_000),
    ("worker_call_timeout_ms", 10, 30_000),
    ("worker_claim_timeout_secs", 1, 86_400),
    ("worker_max_attempts", 1, 1_000),
    ("worker_backoff_base_ms", 1, 3_600_000),
    ("worker_backoff_max_ms", 1, 604_800_000),
    ("deadline_sms_secs", 1, 31_536_000),
    ("deadline_email_secs", 1, 31_536_000),
    ("commit_batch_max", 1, 10_000),
    ("commit_queue_max", 1, 1_000_000),
    ("lame_duck_secs", 0, 3_600),
    ("drain_secs", 0, 3_600),
];

/// Any file, any environment and any flags: settings that fit, or an error that names what does not.
pub(crate) fn of_sources(
    file: Option<&str>,
    variables: &BTreeMap<String, String>,
    flags: &BTreeMap<&'static str, String>,
) {
    let read = file.map(|text| (PATH.to_owned(), text.to_owned()));
    match Resolved::merge(read, variables, flags.clone()) {
        Ok(resolved) => {
            later_sources_win(&resolved, variables, flags);
            fit(&resolved);
        }
        Err(error) => {
            let told = format!("{error:#}");
            assert!(file.is_some() && told.starts_with(PATH), "{told}");
            let unknown = told.contains("there is no setting");
            let named = SETTINGS.iter().any(|setting| told.contains(setting.key));
            assert!(unknown || named || told.contains("is not valid TOML"), "{told}");
            // What somebody took for the name of a setting is shown to him.
            assert!(unknown || !told.contains(SECRET), "{told}");
        }
    }
}

fn later_sources_win(
    resolved: &Resolved,
    variables: &BTreeMap<String, String>,
    flags: &BTreeMap<&'static str, String>,
) {
    for setting in SETTINGS {
        let variable = variables.get(setting.variable).filter(|value| !value.is_empty());
        let (text, origin) = (
            resolved.text(setting.key),
            resolved.origin(setting.key).to_string(),
        );
        let (expected, source) = match (flags.get(setting.key), variable) {
            (Some(flag), _) => (flag.as_str(), "flag"),
            (None, Some(variable)) => (variable.as_str(), "environment"),
            (None, None) if origin == PATH => continue,
            (None, None) => (setting.default, "default"),
        };
        assert_eq!((text, origin.as_str()), (expected, source), "{}", setting.key);
    }
}

fn fit(resolved: &Resolved) {
    let number = |key: &str| resolved.text(key).parse::<u64>().ok();
    match Config::new(resolved) {
        Ok(config) => {
            for (key, least, most) in RANGES {
                let own = key.starts_with("provider_sms_") || key.starts_with("provider_email_");
                let unset = own && resolved.text(key).is_empty();
                let fits = number(key).is_some_and(|number| (least..=most).contains(&number));
                assert!(fits || unset, "{key} = {:?}", resolved.text(key));
            }
            assert!(config.bind.ip().is_loopback() || config.server.api_keys.is_some());
            assert!(config.server.allowed_hosts.is_some() || config.server.api_keys.is_some());
            let dispatch = &config.engine.dispatch;
            assert!(dispatch.lane.call_timeout * 2 <= dispatch.lease);
            assert!(dispatch.lane.breaker.open <= dispatch.lane.breaker.max_open);
            assert_eq!(Some(dispatch.attempts_max.into()), number("worker_max_attempts"));
            assert_eq!(Some(config.drain.as_secs()), number("drain_secs"));
            assert_eq!(Some(config.lame_duck.as_secs()), number("lame_duck_secs"));
            let connections = &config.connections;
            assert_eq!(
                Some(connections.idle_timeout.as_secs()),
                number("idle_timeout_secs")
            );
            assert_eq!(
                Some(connections.per_address_max as u64),
                number("connections_per_address")
            );
            assert!(config.simulators.check().is_ok());
        }
        Err(error) => {
            let told = format!("{error:#}");
            let named = SETTINGS.iter().any(|setting| told.contains(setting.variable));
            assert!(named, "nobody knows which setting that is: {told}");
            // A network or a host that is none is shown: it is no secret.
            let shown = ["trusted_proxies", "allowed_hosts"]
                .iter()
                .any(|key| resolved.text(key).contains(SECRET));
            assert!(shown || !told.contains(SECRET), "{told}");
        }
    }
}
