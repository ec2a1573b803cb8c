use std::{net::SocketAddr, path::PathBuf, time::Duration};

use domain::Region;
use http_client::AllowedNetworks;
use resilience::rate_limit::client_ip::{IpNet, parse_trusted_proxy};
use server::{AllowedHosts, ApiKeys};

use super::{
    LogFormat, Resolved,
    value_types::{ValueType, flag, list, millis, number, optional, parsed, secs, text},
};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
/// A half-open breaker gives up on a probe after a minute; a call must be over well before.
const CALL_TIMEOUT_MS_MAX: u64 = 30_000;
const KEY_BYTES_MIN: usize = 8;

/// The description of one setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The name in the file.
    pub(crate) key: &'static str,
    /// As text; empty for none.
    pub(crate) default: &'static str,
    /// With the unit.
    pub(crate) help: &'static str,
    /// Whether the value must never be shown.
    pub(crate) secret: bool,
    /// Which values it takes; empty for any text.
    pub(crate) values: fn() -> String,
}

impl Setting {
    pub(crate) fn of(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// The name in the environment.
    pub(crate) fn variable(&self) -> String {
        match self.key {
            "database_url" => "DATABASE_URL".to_owned(),
            key => format!("API_{}", key.to_uppercase()),
        }
    }

    /// The name on the command line, without the dashes in front.
    pub(crate) fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    pub(crate) fn shown_default(&self) -> &'static str {
        if self.default.is_empty() {
            "none"
        } else {
            self.default
        }
    }
}

/// Makes the typed struct and the descriptions of lines `key: type = default, kind, help;`.
macro_rules! settings {
    ($($(#[$secret:ident])? $key:ident: $type:ty = $default:literal, $kind:expr, $help:literal;)+) => {
        /// The value of each setting, checked alone.
        #[derive(Debug, Clone)]
        pub(super) struct Settings { $(pub(super) $key: $type,)+ }

        /// All settings, in the order of the documentation.
        pub(crate) const SETTINGS: &[Setting] = &[$(Setting {
            key: stringify!($key),
            default: $default,
            help: $help,
            secret: !stringify!($($secret)?).is_empty(),
            values: || { let kind: ValueType<$type> = $kind; kind.values },
        },)+];

        impl Settings {
            pub(super) fn read(resolved: &Resolved) -> anyhow::Result<Self> {
                Ok(Self { $($key: resolved.read_as(stringify!($key), $kind)?,)+ })
            }
        }
    };
}

settings! {
    #[secret]
    database_url: String = "sqlite:trunkline.db", text(),
        "Where messages live: sqlite:FILE, sqlite::memory: (ends with the process) or postgres://…";
    bind: SocketAddr = "127.0.0.1:8080", parsed("an address and port such as 127.0.0.1:8080"),
        "Address and port to listen on; beyond loopback, API keys are needed";
    #[secret]
    keys: Option<ApiKeys> = "", list("keys of at least 8 characters", api_keys),
        "Keys that open the API, comma-separated; without any, every program on this machine may use it";
    trusted_proxies: Vec<IpNet> = "", list("addresses or networks", networks),
        "Proxies whose X-Forwarded-For is believed, comma-separated";
    allowed_hosts: AllowedHosts = "", list("host names", allowed_hosts),
        "Names in Host, besides localhost, that a node without keys answers to, comma-separated";
    connections_per_address: usize = "1024", number(1..=4_096),
        "Connections from one address at the same time; trusted proxies are exempt";
    idle_timeout_secs: Duration = "75", secs(1..=HOUR),
        "Seconds a connection may be idle between two requests; more than a proxy keeps it";
    max_body_bytes: usize = "262144", number(1_024..=16 << 20),
        "Bytes of a request's body at most";
    max_attachments: usize = "10", number(0..=1_000),
        "Attachments of a message to send at most";
    snippet_length: usize = "64", number(1..=10_000),
        "Characters, as readers see them, in a snippet";
    default_region: Option<Region> = "", optional(parsed("a region such as US")),
        "Region in which national phone numbers are read";
    rate_limit_per_ip_per_min: u32 = "120", number(0..=100_000_000),
        "Requests to the send routes a minute and in one burst, per client address; 0 is no limit";
    rate_limit_per_sender_per_min: u32 = "60", number(0..=100_000_000),
        "Messages accepted a minute and in one burst, per sender; 0 is no limit";
    rate_limit_webhook_per_ip_per_min: u32 = "1200", number(0..=100_000_000),
        "Requests to the inbound routes a minute and in one burst, per client address; 0 is no limit";
    idempotency_ttl_secs: Duration = "86400", secs(60..=365 * DAY),
        "Seconds an idempotency key is kept";
    events_retention_secs: Duration = "604800", secs(60..=365 * DAY),
        "Seconds an event is kept, and a receipt that matches no message";
    webhook_allowed_networks: Option<AllowedNetworks> = "",
        optional(parsed("none, or a list of loopback, private and networks such as 10.1.0.0/16, comma-separated")),
        "Addresses besides public ones that webhook endpoints may have; by default loopback while bound to loopback";
    provider_timeout_pct: u8 = "0", number(0..=100),
        "Percentage of simulated calls without a response";
    provider_error_pct: u8 = "0", number(0..=100),
        "Percentage of simulated calls that answer 500";
    provider_ratelimit_pct: u8 = "0", number(0..=100),
        "Percentage of simulated calls that answer 429";
    provider_rejected_pct: u8 = "0", number(0..=100),
        "Percentage of simulated calls that are refused for good";
    provider_timeout_taken_pct: u8 = "0", number(0..=100),
        "Percentage of the calls without a response in which the simulator takes the message all the same";
    provider_seed: Option<u64> = "", optional(number(0..=u64::MAX)),
        "Seed that makes the simulated outcomes repeatable";
    provider_sms_timeout_pct: Option<u8> = "", optional(number(0..=100)),
        "API_PROVIDER_TIMEOUT_PCT for the default simulator sms-mms alone";
    provider_sms_error_pct: Option<u8> = "", optional(number(0..=100)),
        "API_PROVIDER_ERROR_PCT for the default simulator sms-mms alone";
    provider_sms_ratelimit_pct: Option<u8> = "", optional(number(0..=100)),
        "API_PROVIDER_RATELIMIT_PCT for the default simulator sms-mms alone";
    provider_sms_rejected_pct: Option<u8> = "", optional(number(0..=100)),
        "API_PROVIDER_REJECTED_PCT for the default simulator sms-mms alone";
    provider_sms_timeout_taken_pct: Option<u8> = "", optional(number(0..=100)),
        "API_PROVIDER_TIMEOUT_TAKEN_PCT for the default simulator sms-mms alone";
    provider_sms_latency_ms: Option<Duration> = "", optional(millis(0..=HOUR * 1_000)),
        "API_PROVIDER_LATENCY_MS for the default simulator sms-mms alone";
    provider_sms_latency_max_ms: Option<Duration> = "", optional(millis(0..=HOUR * 1_000)),
        "API_PROVIDER_LATENCY_MAX_MS for the default simulator sms-mms alone";
    provider_sms_seed: Option<u64> = "", optional(number(0..=u64::MAX)),
        "API_PROVIDER_SEED for the default simulator sms-mms alone";
    provider_sms_receipts_delivered_pct: Option<u8> = "", optional(number(0..=100)),
        "API_PROVIDER_RECEIPTS_DELIVERED_PCT for the default simulator sms-mms alone";
    provider_sms_receipts_undelivered_pct: Option<u8> = "", optional(number(0..=100)),
        "API_PROVIDER_RECEIPTS_UNDELIVERED_PCT for the default simulator sms-mms alone";
    provider_sms_receipts_delay_ms: Option<Duration> = "", optional(millis(0..=DAY * 1_000)),
        "API_PROVIDER_RECEIPTS_DELAY_MS for the default simulator sms-mms alone";
    provider_sms_receipts_duplicate_pct: Option<u8> = "", optional(number(0..=100)),
        "API_PROVIDER_RECEIPTS_DUPLICATE_PCT for the default simulator sms-mms alone";
    provider_email_timeout_pct: Option<u8> = "", optional(number(0..=100)),
        "API_PROVIDER_TIMEOUT_PCT for the default simulator email alone";
    provider_email_error_pct: Option<u8> = "", optional(number(0..=100)),
        "API_PROVIDER_ERROR_PCT for the default simulator email alone";
    provider_email_ratelimit_pct: Option<u8> = "", optional(number(0..=100)),
        "API_PROVIDER_RATELIMIT_PCT for the default simulator email alone";
    provider_email_rejected_pct: Option<u8> = "", optional(number(0..=100)),
        "API_PROVIDER_REJECTED_PCT for the default simulator email alone";
    provider_email_timeout_taken_pct: Option<u8> = "", optional(number(0..=100)),
        "API_PROVIDER_TIMEOUT_TAKEN_PCT for the default simulator email alone";
    provider_email_latency_ms: Option<Duration> = "", optional(millis(0..=HOUR * 1_000)),
        "API_PROVIDER_LATENCY_MS for the default simulator email alone";
    provider_email_latency_max_ms: Option<Duration> = "", optional(millis(0..=HOUR * 1_000)),
        "API_PROVIDER_LATENCY_MAX_MS for the default simulator email alone";
    provider_email_seed: Option<u64> = "", optional(number(0..=u64::MAX)),
        "API_PROVIDER_SEED for the default simulator email alone";
    provider_email_receipts_delivered_pct: Option<u8> = "", optional(number(0..=100)),
        "API_PROVIDER_RECEIPTS_DELIVERED_PCT for the default simulator email alone";
    provider_email_receipts_undelivered_pct: Option<u8> = "", optional(number(0..=100)),
        "API_PROVIDER_RECEIPTS_UNDELIVERED_PCT for the default simulator email alone";
    provider_email_receipts_delay_ms: Option<Duration> = "", optional(millis(0..=DAY * 1_000)),
        "API_PROVIDER_RECEIPTS_DELAY_MS for the default simulator email alone";
    provider_email_receipts_duplicate_pct: Option<u8> = "", optional(number(0..=100)),
        "API_PROVIDER_RECEIPTS_DUPLICATE_PCT for the default simulator email alone";
    provider_receipts_delivered_pct: u8 = "0", number(0..=100),
        "Percentage of simulated messages that are reported as delivered";
    provider_receipts_undelivered_pct: u8 = "0", number(0..=100),
        "Percentage of simulated messages that are reported as undelivered";
    provider_receipts_delay_ms: Duration = "0", millis(0..=DAY * 1_000),
        "Milliseconds from a simulated call to its receipt";
    provider_receipts_duplicate_pct: u8 = "0", number(0..=100),
        "Percentage of simulated receipts that come twice";
    provider_latency_ms: Duration = "0", millis(0..=HOUR * 1_000),
        "Milliseconds a simulated call takes; at least, with API_PROVIDER_LATENCY_MAX_MS";
    provider_latency_max_ms: Option<Duration> = "", optional(millis(0..=HOUR * 1_000)),
        "Milliseconds a simulated call takes at most, if calls differ";
    provider_retry_after_ms: Duration = "1000", millis(0..=DAY * 1_000),
        "Milliseconds in the Retry-After of a simulated 429";
    provider_ledger: Option<PathBuf> = "", optional(parsed("the path of a file")),
        "File that gets a line for every simulated call";
    provider_sms_enabled: bool = "true", flag(),
        "Whether there is a default simulator sms-mms";
    provider_email_enabled: bool = "true", flag(),
        "Whether there is a default simulator email";
    sandboxes: bool = "true", flag(),
        "Whether recipients such as +12025550151 fail on demand (docs/testing.md), while any provider is simulated";
    breaker_error_threshold: u32 = "5", number(1..=1_000_000),
        "Failures in a row that open a breaker";
    breaker_open_secs: Duration = "30", secs(1..=DAY),
        "Seconds a breaker stays open the first time";
    breaker_max_open_secs: Duration = "300", secs(1..=7 * DAY),
        "Seconds a breaker stays open at most";
    breaker_half_open_samples: u32 = "3", number(1..=10_000),
        "Probes that decide whether it closes";
    breaker_half_open_in_flight: u32 = "2", number(1..=10_000),
        "Probes at the same time";
    worker_concurrency: usize = "64", number(1..=4_096),
        "Calls to one provider at the same time";
    // PostgreSQL may look through the whole batch for each of its entries (docs/decisions/0005).
    worker_batch_size: usize = "100", number(1..=1_000),
        "Messages claimed or settled at once";
    worker_poll_ms: Duration = "250", millis(1..=60_000),
        "Milliseconds between two polls for due messages";
    worker_call_timeout_ms: Duration = "5000", millis(10..=CALL_TIMEOUT_MS_MAX),
        "Milliseconds a call to a provider may take";
    worker_claim_timeout_secs: Duration = "60", secs(1..=DAY),
        "Seconds a claimed message is leased; at least twice the call timeout";
    worker_max_attempts: u32 = "12", number(1..=1_000),
        "Counted attempts before a message becomes a dead letter";
    worker_backoff_base_ms: Duration = "500", millis(1..=HOUR * 1_000),
        "Milliseconds before the second attempt at most";
    worker_backoff_max_ms: Duration = "900000", millis(1..=7 * DAY * 1_000),
        "Milliseconds between two attempts at most";
    deadline_sms_secs: Duration = "14400", secs(1..=365 * DAY),
        "Seconds an SMS or MMS may be tried";
    deadline_email_secs: Duration = "172800", secs(1..=365 * DAY),
        "Seconds an email may be tried";
    commit_batch_max: usize = "512", number(1..=10_000),
        "Messages that share a commit at most";
    commit_queue_max: usize = "4096", number(1..=1_000_000),
        "Messages that wait for a commit at most";
    lame_duck_secs: Duration = "3", secs(0..=HOUR),
        "Seconds a node goes on listening after SIGTERM, while balancers notice that it is not ready";
    drain_secs: Duration = "10", secs(0..=HOUR),
        "Seconds a shutdown waits for requests and calls under way";
    log: String = "info", text(),
        "What to log: a level, or a list such as info,trunkline_store=debug";
    log_format: LogFormat = "auto", parsed("pretty, json or auto"),
        "How logs look; auto is pretty on a terminal, else json";
}

fn api_keys(keys: &[&str]) -> Result<Option<ApiKeys>, String> {
    if keys.iter().any(|key| key.len() < KEY_BYTES_MIN) {
        return Err(format!("use keys of at least {KEY_BYTES_MIN} characters"));
    }
    Ok(ApiKeys::new(keys.iter().copied()))
}

fn networks(items: &[&str]) -> Result<Vec<IpNet>, String> {
    let networks = items.iter().map(|item| parse_trusted_proxy(item));
    networks
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

fn allowed_hosts(names: &[&str]) -> Result<AllowedHosts, String> {
    let hosts = AllowedHosts::loopback_and(names.iter().copied());
    hosts.map_err(|name| format!("{name:?} is no host name: write it without a port"))
}
