/// One thing the operator can decide.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its name in the file; with dashes, its flag.
    pub(crate) key: &'static str,
    /// Its name in the environment.
    pub(crate) variable: &'static str,
    /// What it is when nobody says otherwise; empty for nothing.
    pub(crate) default: &'static str,
    /// What it is, in one line, with its unit.
    pub(crate) help: &'static str,
    /// Whether its value must never be shown.
    pub(crate) secret: bool,
}

impl Setting {
    /// Its name on the command line, without the dashes in front.
    pub(crate) fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// The default, for people.
    pub(crate) fn shown_default(&self) -> &'static str {
        if self.default.is_empty() {
            "none"
        } else {
            self.default
        }
    }
}

const fn setting(
    key: &'static str,
    variable: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting {
        key,
        variable,
        default,
        help,
        secret: false,
    }
}

const fn secret(
    key: &'static str,
    variable: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting {
        key,
        variable,
        default,
        help,
        secret: true,
    }
}

/// Every setting there is, in the order of the documentation.
pub(crate) const SETTINGS: &[Setting] = &[
    secret(
        "database_url",
        "DATABASE_URL",
        "sqlite:trunkline.db",
        "Where messages live: sqlite:FILE or postgres://…",
    ),
    setting(
        "bind",
        "API_BIND",
        "127.0.0.1:8080",
        "Address and port to listen on; beyond loopback, API keys are needed",
    ),
    secret(
        "keys",
        "API_KEYS",
        "",
        "Keys that open the API, comma-separated; none lets everybody on this machine in",
    ),
    setting(
        "trusted_proxies",
        "API_TRUSTED_PROXIES",
        "",
        "Addresses or networks of proxies whose X-Forwarded-For is believed, comma-separated",
    ),
    setting(
        "allowed_hosts",
        "API_ALLOWED_HOSTS",
        "",
        "Names besides localhost by which a node without keys may be asked (in Host), comma-separated",
    ),
    setting(
        "connections_per_address",
        "API_CONNECTIONS_PER_ADDRESS",
        "1024",
        "Connections from one address at the same time; trusted proxies are exempt",
    ),
    setting(
        "idle_timeout_secs",
        "API_IDLE_TIMEOUT_SECS",
        "75",
        "Seconds a connection may be idle between two requests; more than a proxy keeps it",
    ),
    setting(
        "max_body_bytes",
        "API_MAX_BODY_BYTES",
        "262144",
        "Bytes of a request's body at most",
    ),
    setting(
        "max_attachments",
        "API_MAX_ATTACHMENTS",
        "10",
        "Attachments of a message at most",
    ),
    setting(
        "snippet_length",
        "API_SNIPPET_LENGTH",
        "64",
        "Characters, as readers see them, in a snippet",
    ),
    setting(
        "default_region",
        "API_DEFAULT_REGION",
        "",
        "Region in which national phone numbers are read, such as US",
    ),
    setting(
        "rate_limit_per_ip_per_min",
        "API_RATE_LIMIT_PER_IP_PER_MIN",
        "120",
        "Requests to the send routes a minute and in one burst, per client address",
    ),
    setting(
        "rate_limit_per_sender_per_min",
        "API_RATE_LIMIT_PER_SENDER_PER_MIN",
        "60",
        "Messages accepted a minute and in one burst, per sender",
    ),
    setting(
        "rate_limit_webhook_per_ip_per_min",
        "API_RATE_LIMIT_WEBHOOK_PER_IP_PER_MIN",
        "1200",
        "Requests to the inbound routes a minute and in one burst, per client address",
    ),
    setting(
        "idempotency_ttl_secs",
        "API_IDEMPOTENCY_TTL_SECS",
        "86400",
        "Seconds an idempotency key is kept",
    ),
    setting(
        "provider_timeout_pct",
        "API_PROVIDER_TIMEOUT_PCT",
        "0",
        "Percentage of simulated calls that time out",
    ),
    setting(
        "provider_error_pct",
        "API_PROVIDER_ERROR_PCT",
        "0",
        "Percentage of simulated calls that answer 500",
    ),
    setting(
        "provider_ratelimit_pct",
        "API_PROVIDER_RATELIMIT_PCT",
        "0",
        "Percentage of simulated calls that answer 429",
    ),
    setting(
        "provider_seed",
        "API_PROVIDER_SEED",
        "",
        "Seed that makes the simulated outcomes repeatable",
    ),
    setting(
        "provider_sms_timeout_pct",
        "API_PROVIDER_SMS_TIMEOUT_PCT",
        "",
        "The same for sms-mms alone",
    ),
    setting(
        "provider_sms_error_pct",
        "API_PROVIDER_SMS_ERROR_PCT",
        "",
        "The same for sms-mms alone",
    ),
    setting(
        "provider_sms_ratelimit_pct",
        "API_PROVIDER_SMS_RATELIMIT_PCT",
        "",
        "The same for sms-mms alone",
    ),
    setting(
        "provider_sms_seed",
        "API_PROVIDER_SMS_SEED",
        "",
        "The same for sms-mms alone",
    ),
    setting(
        "provider_email_timeout_pct",
        "API_PROVIDER_EMAIL_TIMEOUT_PCT",
        "",
        "The same for email alone",
    ),
    setting(
        "provider_email_error_pct",
        "API_PROVIDER_EMAIL_ERROR_PCT",
        "",
        "The same for email alone",
    ),
    setting(
        "provider_email_ratelimit_pct",
        "API_PROVIDER_EMAIL_RATELIMIT_PCT",
        "",
        "The same for email alone",
    ),
    setting(
        "provider_email_seed",
        "API_PROVIDER_EMAIL_SEED",
        "",
        "The same for email alone",
    ),
    setting(
        "provider_latency_ms",
        "API_PROVIDER_LATENCY_MS",
        "0",
        "Milliseconds a simulated call takes",
    ),
    setting(
        "provider_retry_after_ms",
        "API_PROVIDER_RETRY_AFTER_MS",
        "1000",
        "Milliseconds a simulated 429 asks to be left alone",
    ),
    setting(
        "provider_ledger",
        "API_PROVIDER_LEDGER",
        "",
        "File that gets a line for every simulated call",
    ),
    setting(
        "provider_sms_enabled",
        "API_PROVIDER_SMS_ENABLED",
        "true",
        "Whether the simulated sms-mms is there",
    ),
    setting(
        "provider_email_enabled",
        "API_PROVIDER_EMAIL_ENABLED",
        "true",
        "Whether the simulated email is there",
    ),
    setting(
        "breaker_error_threshold",
        "API_BREAKER_ERROR_THRESHOLD",
        "5",
        "Failures in a row that open a breaker",
    ),
    setting(
        "breaker_open_secs",
        "API_BREAKER_OPEN_SECS",
        "30",
        "Seconds a breaker stays open the first time",
    ),
    setting(
        "breaker_max_open_secs",
        "API_BREAKER_MAX_OPEN_SECS",
        "300",
        "Seconds a breaker stays open at most",
    ),
    setting(
        "breaker_half_open_samples",
        "API_BREAKER_HALF_OPEN_SAMPLES",
        "3",
        "Probes that decide whether it closes",
    ),
    setting(
        "breaker_half_open_in_flight",
        "API_BREAKER_HALF_OPEN_IN_FLIGHT",
        "2",
        "Probes at the same time",
    ),
    setting(
        "worker_concurrency",
        "API_WORKER_CONCURRENCY",
        "64",
        "Calls to one provider at the same time",
    ),
    setting(
        "worker_batch_size",
        "API_WORKER_BATCH_SIZE",
        "100",
        "Messages claimed or settled at once",
    ),
    setting(
        "worker_poll_ms",
        "API_WORKER_POLL_MS",
        "250",
        "Milliseconds between two looks for messages that are due",
    ),
    setting(
        "worker_call_timeout_ms",
        "API_WORKER_CALL_TIMEOUT_MS",
        "5000",
        "Milliseconds a call to a provider may take",
    ),
    setting(
        "worker_claim_timeout_secs",
        "API_WORKER_CLAIM_TIMEOUT_SECS",
        "60",
        "Seconds a claimed message is leased; at least twice the call timeout",
    ),
    setting(
        "worker_max_attempts",
        "API_WORKER_MAX_ATTEMPTS",
        "12",
        "Counted attempts before a message is given up",
    ),
    setting(
        "worker_backoff_base_ms",
        "API_WORKER_BACKOFF_BASE_MS",
        "500",
        "Milliseconds before the second attempt at most",
    ),
    setting(
        "worker_backoff_max_ms",
        "API_WORKER_BACKOFF_MAX_MS",
        "900000",
        "Milliseconds between two attempts at most",
    ),
    setting(
        "deadline_sms_secs",
        "API_DEADLINE_SMS_SECS",
        "14400",
        "Seconds an SMS or MMS may be tried",
    ),
    setting(
        "deadline_email_secs",
        "API_DEADLINE_EMAIL_SECS",
        "172800",
        "Seconds an email may be tried",
    ),
    setting(
        "commit_batch_max",
        "API_COMMIT_BATCH_MAX",
        "512",
        "Messages that share a commit at most",
    ),
    setting(
        "commit_queue_max",
        "API_COMMIT_QUEUE_MAX",
        "4096",
        "Messages that wait for a commit at most",
    ),
    setting(
        "lame_duck_secs",
        "API_LAME_DUCK_SECS",
        "3",
        "Seconds a node goes on listening after SIGTERM, while balancers notice that it is not ready",
    ),
    setting(
        "drain_secs",
        "API_DRAIN_SECS",
        "10",
        "Seconds a shutdown waits for what is under way",
    ),
    setting(
        "log",
        "API_LOG",
        "info",
        "What to log: a level, or a list such as info,trunkline_store=debug",
    ),
    setting(
        "log_format",
        "API_LOG_FORMAT",
        "auto",
        "pretty, json, or auto: pretty on a terminal, else json",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_one_name_in_three_places() {
        let mut keys: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), SETTINGS.len());
        for setting in SETTINGS {
            let expected = format!("API_{}", setting.key.to_uppercase());
            assert!(
                setting.variable == expected || setting.variable == "DATABASE_URL",
                "{}",
                setting.variable
            );
            assert!(!setting.help.is_empty());
        }
    }
}
