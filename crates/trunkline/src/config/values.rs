use std::{
    collections::BTreeMap, net::SocketAddr, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration,
};

use anyhow::{Context, anyhow};
use domain::{DraftRules, Region};
use engine::{DispatchSettings, EngineSettings, LaneSettings, LimitSettings};
use providers::simulator::{FaultOverrides, Faults, SimulatorConfig, SimulatorSettings};
use resilience::{Backoff, BreakerSettings, rate_limit::client_ip::parse_trusted_proxy};
use server::{AllowedHosts, ApiKeys, ConnectionSettings, ServerSettings};
use store::Deadlines;

use super::{Resolved, SETTINGS};

/// The settings, checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) database_url: String,
    pub(crate) bind: SocketAddr,
    pub(crate) connections: ConnectionSettings,
    pub(crate) server: ServerSettings,
    pub(crate) engine: EngineSettings,
    pub(crate) simulators: SimulatorSettings,
    /// How long a node goes on listening after SIGTERM.
    pub(crate) lame_duck: Duration,
    pub(crate) drain: Duration,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
}

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Auto,
    Pretty,
    Json,
}

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
/// A half-open breaker gives probes up that take a minute; calls must be well over by then.
const CALL_TIMEOUT_MS_MAX: u64 = 30_000;

impl Config {
    /// Checks every value, alone and together.
    pub(crate) fn new(resolved: &Resolved) -> anyhow::Result<Self> {
        let read = Reader(resolved);
        let bind: SocketAddr = read.parse("bind", "use an address and port such as 127.0.0.1:8080")?;
        let keys = read.list("keys");
        if keys.iter().any(|key| key.len() < 8) {
            return Err(read.invalid("keys", "use keys of at least 8 characters"));
        }
        let api_keys = ApiKeys::new(keys);
        if !bind.ip().is_loopback() && api_keys.is_none() {
            return Err(read.invalid(
                "bind",
                "beyond loopback (127.0.0.1), set API_KEYS: else anybody could send messages",
            ));
        }
        let allowed_hosts = AllowedHosts::loopback_and(read.list("allowed_hosts")).map_err(|name| {
            read.invalid(
                "allowed_hosts",
                format!("{name:?} is no name of a host without a port"),
            )
        })?;
        // Only a node that lets every program of its machine in has to tell them from pages in a browser.
        let allowed_hosts = api_keys.is_none().then_some(allowed_hosts);
        let trusted_proxies = trusted_proxies(&read)?;
        let default_region: Option<Region> = read.optional("default_region")?;
        let attachments_max = read.number("max_attachments", 0..=1_000)? as usize;
        Ok(Self {
            database_url: resolved.text("database_url").to_owned(),
            bind,
            connections: ConnectionSettings {
                idle_timeout: read.secs("idle_timeout_secs", 1..=HOUR)?,
                per_address_max: read.number("connections_per_address", 1..=4_096)? as usize,
                trusted_proxies: trusted_proxies.clone(),
            },
            server: ServerSettings {
                body_bytes_max: read.number("max_body_bytes", 1_024..=16 << 20)? as usize,
                snippet_graphemes: read.number("snippet_length", 1..=10_000)? as usize,
                drafts: DraftRules {
                    default_region,
                    attachments_max,
                },
                api_keys,
                allowed_hosts,
                trusted_proxies,
            },
            engine: engine(&read)?,
            simulators: simulators(&read)?,
            lame_duck: read.secs("lame_duck_secs", 0..=HOUR)?,
            drain: read.secs("drain_secs", 0..=HOUR)?,
            log: resolved.text("log").to_owned(),
            log_format: match resolved.text("log_format") {
                "auto" => LogFormat::Auto,
                "pretty" => LogFormat::Pretty,
                "json" => LogFormat::Json,
                _ => return Err(read.invalid("log_format", "use pretty, json or auto")),
            },
        })
    }
}

fn trusted_proxies(read: &Reader<'_>) -> anyhow::Result<Vec<resilience::rate_limit::client_ip::IpNet>> {
    let proxies = read
        .list("trusted_proxies")
        .into_iter()
        .map(parse_trusted_proxy)
        .collect::<Result<_, _>>();
    proxies.map_err(|error| read.invalid("trusted_proxies", error))
}

fn engine(read: &Reader<'_>) -> anyhow::Result<EngineSettings> {
    let limit = |key| read.number(key, 0..=100_000_000).map(|number| number as u32);
    let limits = LimitSettings::per_minute(
        limit("rate_limit_per_ip_per_min")?,
        limit("rate_limit_per_sender_per_min")?,
        limit("rate_limit_webhook_per_ip_per_min")?,
    );
    Ok(EngineSettings {
        deadlines: Deadlines {
            sms: read.secs("deadline_sms_secs", 1..=365 * DAY)?,
            email: read.secs("deadline_email_secs", 1..=365 * DAY)?,
        },
        idempotency_ttl: read.secs("idempotency_ttl_secs", 60..=365 * DAY)?,
        commit_batch_max: read.number("commit_batch_max", 1..=10_000)? as usize,
        commit_queue_max: read.number("commit_queue_max", 1..=1_000_000)? as usize,
        limits,
        dispatch: dispatch(read)?,
    })
}

fn dispatch(read: &Reader<'_>) -> anyhow::Result<DispatchSettings> {
    let call_timeout = read.millis("worker_call_timeout_ms", 10..=CALL_TIMEOUT_MS_MAX)?;
    let lease = read.secs("worker_claim_timeout_secs", 1..=DAY)?;
    if call_timeout > lease / 2 {
        let detail = "a call may take half a claim at most: lower API_WORKER_CALL_TIMEOUT_MS or raise this";
        return Err(read.invalid("worker_claim_timeout_secs", detail));
    }
    let base = read.millis("worker_backoff_base_ms", 1..=HOUR * 1_000)?;
    let max = read.millis("worker_backoff_max_ms", 1..=7 * DAY * 1_000)?;
    let breaker = BreakerSettings {
        error_threshold: read.number("breaker_error_threshold", 1..=1_000_000)? as u32,
        open: read.secs("breaker_open_secs", 1..=DAY)?,
        max_open: read.secs("breaker_max_open_secs", 1..=7 * DAY)?,
        half_open_samples: read.number("breaker_half_open_samples", 1..=10_000)? as u32,
        half_open_in_flight: read.number("breaker_half_open_in_flight", 1..=10_000)? as u32,
    };
    // Each number fits alone, so what is left is that the longest is shorter than the first.
    breaker
        .validate()
        .map_err(|error| read.invalid("breaker_max_open_secs", error))?;
    Ok(DispatchSettings {
        // PostgreSQL may look through the whole batch for each of its entries (docs/decisions/0005).
        batch_messages_max: read.number("worker_batch_size", 1..=1_000)? as usize,
        poll: read.millis("worker_poll_ms", 1..=60_000)?,
        lease,
        attempts_max: read.number("worker_max_attempts", 1..=1_000)? as u32,
        backoff: Backoff::new(base, max).map_err(|error| read.invalid("worker_backoff_max_ms", error))?,
        lane: LaneSettings {
            concurrency: read.number("worker_concurrency", 1..=4_096)? as usize,
            call_timeout,
            breaker,
        },
        lanes: BTreeMap::new(),
    })
}

fn simulators(read: &Reader<'_>) -> anyhow::Result<SimulatorSettings> {
    let percentage = |key| read.number(key, 0..=100).map(|number| number as u8);
    let own_percentage = |key| read.is_set(key).then(|| percentage(key)).transpose();
    let mut config = SimulatorConfig::from(Faults {
        timeout_pct: percentage("provider_timeout_pct")?,
        error_pct: percentage("provider_error_pct")?,
        ratelimit_pct: percentage("provider_ratelimit_pct")?,
        seed: read.optional("provider_seed")?,
    });
    let sms = FaultOverrides {
        timeout_pct: own_percentage("provider_sms_timeout_pct")?,
        error_pct: own_percentage("provider_sms_error_pct")?,
        ratelimit_pct: own_percentage("provider_sms_ratelimit_pct")?,
        seed: read.optional("provider_sms_seed")?,
    };
    let email = FaultOverrides {
        timeout_pct: own_percentage("provider_email_timeout_pct")?,
        error_pct: own_percentage("provider_email_error_pct")?,
        ratelimit_pct: own_percentage("provider_email_ratelimit_pct")?,
        seed: read.optional("provider_email_seed")?,
    };
    let mut settings = SimulatorSettings::default();
    let enabled = [
        read.flag("provider_sms_enabled")?,
        read.flag("provider_email_enabled")?,
    ];
    for (instance, overrides) in settings.instances.iter_mut().zip([sms, email]) {
        instance.latency = read.millis("provider_latency_ms", 0..=HOUR * 1_000)?;
        instance.retry_after = read.millis("provider_retry_after_ms", 0..=DAY * 1_000)?;
        if overrides != FaultOverrides::default() {
            config.providers.insert(instance.name.to_string(), overrides);
        }
    }
    settings.config = config;
    settings
        .check()
        .context("API_PROVIDER_TIMEOUT_PCT, _ERROR_PCT and _RATELIMIT_PCT, for all providers or for one")?;
    let mut enabled = enabled.into_iter();
    settings.instances.retain(|_| enabled.next() == Some(true));
    let names: Vec<_> = settings
        .instances
        .iter()
        .map(|instance| instance.name.to_string())
        .collect();
    settings.config.providers.retain(|name, _| names.contains(name));
    settings.ledger = read
        .is_set("provider_ledger")
        .then(|| PathBuf::from(read.0.text("provider_ledger")));
    Ok(settings)
}

/// Turns texts into values, and says whose they are when they cannot be.
struct Reader<'a>(&'a Resolved);

impl Reader<'_> {
    fn is_set(&self, key: &str) -> bool {
        !self.0.text(key).is_empty()
    }

    fn parse<T: FromStr>(&self, key: &str, what: &str) -> anyhow::Result<T> {
        self.0.text(key).parse().map_err(|_| self.invalid(key, what))
    }

    fn optional<T: FromStr<Err: std::fmt::Display>>(&self, key: &str) -> anyhow::Result<Option<T>> {
        self.is_set(key)
            .then(|| {
                self.0
                    .text(key)
                    .parse()
                    .map_err(|error: T::Err| self.invalid(key, error))
            })
            .transpose()
    }

    fn number(&self, key: &str, range: RangeInclusive<u64>) -> anyhow::Result<u64> {
        let what = format!("use a whole number from {} to {}", range.start(), range.end());
        let number = self.parse(key, &what)?;
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(self.invalid(key, what))
        }
    }

    fn millis(&self, key: &str, range: RangeInclusive<u64>) -> anyhow::Result<Duration> {
        self.number(key, range).map(Duration::from_millis)
    }

    fn secs(&self, key: &str, range: RangeInclusive<u64>) -> anyhow::Result<Duration> {
        self.number(key, range).map(Duration::from_secs)
    }

    fn flag(&self, key: &str) -> anyhow::Result<bool> {
        self.parse(key, "use true or false")
    }

    fn list(&self, key: &str) -> Vec<&str> {
        self.0
            .text(key)
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .collect()
    }

    /// What is wrong with a setting, by the name it has where its value came from.
    fn invalid(&self, key: &str, detail: impl std::fmt::Display) -> anyhow::Error {
        let variable = SETTINGS
            .iter()
            .find(|setting| setting.key == key)
            .map_or(key, |setting| setting.variable);
        anyhow!("{variable} ({}): {detail}", self.0.origin(key))
    }
}
