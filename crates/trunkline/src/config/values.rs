use std::{collections::BTreeMap, net::SocketAddr, str::FromStr, time::Duration};

use anyhow::bail;
use domain::{DraftRules, ProviderName};
use engine::{DispatchSettings, EngineSettings, LaneSettings, LimitSettings};
use http_client::AllowedNetworks;
use providers::{
    RouteSettings,
    simulator::{
        FaultOverrides, Faults, ReceiptOverrides, ReceiptShares, SimulatorConfig, SimulatorInstance,
        SimulatorSettings,
    },
};
use resilience::{Backoff, BreakerSettings};
use server::{ConnectionSettings, ServerSettings};
use store::Deadlines;

use super::{Resolved, is_in_memory, resolved::Source, settings::Settings, tables::ProviderTable};

/// Prefixes of the settings that only the default simulators have.
const OF_DEFAULT_SIMULATORS: [&str; 2] = ["provider_sms_", "provider_email_"];

/// The settings, checked, as the parts of the program take them.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) database_url: String,
    pub(crate) bind: SocketAddr,
    pub(crate) connections: ConnectionSettings,
    pub(crate) server: ServerSettings,
    pub(crate) engine: EngineSettings,
    pub(crate) simulators: SimulatorSettings,
    /// Whether scripted recipients are simulated.
    pub(crate) sandboxes: bool,
    pub(crate) routes: Vec<RouteSettings>,
    /// How long a node goes on listening after SIGTERM.
    pub(crate) lame_duck: Duration,
    pub(crate) drain: Duration,
    /// Addresses besides public ones that webhook endpoints may have.
    pub(crate) webhook_networks: AllowedNetworks,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
    /// `serve --test`: the first line of standard output is the URL, as JSON.
    pub(crate) is_test: bool,
}

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Auto,
    Pretty,
    Json,
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

impl Config {
    /// Checks every value, alone and together.
    pub(crate) fn new(resolved: &Resolved) -> anyhow::Result<Self> {
        let settings = Settings::read(resolved)?;
        let is_open = !settings.bind.ip().is_loopback() && settings.keys.is_none();
        // Its providers are simulated and its messages end with the process: nothing in it is real.
        let is_throwaway = resolved.is_test && is_in_memory(&settings.database_url);
        if is_open && !is_throwaway {
            let detail = "beyond loopback (127.0.0.1), set API_KEYS: else anyone who reaches the node could send messages";
            return Err(resolved.invalid("bind", detail));
        }
        let any_host = is_open && *resolved.source("allowed_hosts") == Source::Default;
        let (simulators, lanes) = providers(resolved, &settings)?;
        let routes = routes(resolved, &simulators)?;
        Ok(Self {
            engine: EngineSettings {
                deadlines: Deadlines {
                    sms: settings.deadline_sms_secs,
                    email: settings.deadline_email_secs,
                },
                idempotency_ttl: settings.idempotency_ttl_secs,
                events_retention: settings.events_retention_secs,
                commit_batch_max: settings.commit_batch_max,
                commit_queue_max: settings.commit_queue_max,
                limits: LimitSettings::per_minute(
                    settings.rate_limit_per_ip_per_min,
                    settings.rate_limit_per_sender_per_min,
                    settings.rate_limit_webhook_per_ip_per_min,
                ),
                dispatch: dispatch(resolved, &settings, lanes)?,
            },
            database_url: settings.database_url,
            bind: settings.bind,
            connections: ConnectionSettings {
                idle_timeout: settings.idle_timeout_secs,
                per_address_max: settings.connections_per_address,
                trusted_proxies: settings.trusted_proxies.clone(),
            },
            server: ServerSettings {
                body_bytes_max: settings.max_body_bytes,
                snippet_graphemes: settings.snippet_length,
                drafts: DraftRules {
                    default_region: settings.default_region,
                    attachments_max: settings.max_attachments,
                },
                // Without keys, any program on this machine may ask, but no page in a browser: Host tells them apart.
                // Other containers ask a test server by a name of theirs.
                allowed_hosts: (settings.keys.is_none() && !any_host).then_some(settings.allowed_hosts),
                api_keys: settings.keys,
                trusted_proxies: settings.trusted_proxies,
            },
            simulators,
            sandboxes: settings.sandboxes,
            routes,
            lame_duck: settings.lame_duck_secs,
            drain: settings.drain_secs,
            webhook_networks: settings.webhook_allowed_networks.unwrap_or_else(|| {
                if settings.bind.ip().is_loopback() {
                    AllowedNetworks::loopback()
                } else {
                    AllowedNetworks::default()
                }
            }),
            log: settings.log,
            log_format: settings.log_format,
            is_test: resolved.is_test,
        })
    }
}

fn dispatch(
    resolved: &Resolved,
    settings: &Settings,
    lanes: BTreeMap<ProviderName, LaneSettings>,
) -> anyhow::Result<DispatchSettings> {
    let backoff = Backoff::new(settings.worker_backoff_base_ms, settings.worker_backoff_max_ms);
    Ok(DispatchSettings {
        batch_messages_max: settings.worker_batch_size,
        poll: settings.worker_poll_ms,
        lease: settings.worker_claim_timeout_secs,
        attempts_max: settings.worker_max_attempts,
        backoff: backoff.map_err(|error| resolved.invalid("worker_backoff_max_ms", error))?,
        default_region: settings.default_region,
        lane: lane(resolved, settings)?,
        lanes,
    })
}

fn lane(resolved: &Resolved, settings: &Settings) -> anyhow::Result<LaneSettings> {
    if settings.worker_call_timeout_ms > settings.worker_claim_timeout_secs / 2 {
        let detail =
            "a call may take half of API_WORKER_CLAIM_TIMEOUT_SECS at most: lower this or raise that";
        return Err(resolved.invalid("worker_call_timeout_ms", detail));
    }
    let breaker = BreakerSettings {
        error_threshold: settings.breaker_error_threshold,
        open: settings.breaker_open_secs,
        max_open: settings.breaker_max_open_secs,
        half_open_samples: settings.breaker_half_open_samples,
        half_open_in_flight: settings.breaker_half_open_in_flight,
    };
    // Each number fits alone: what can be wrong is that the longest time is shorter than the first.
    breaker
        .validate()
        .map_err(|error| resolved.invalid("breaker_max_open_secs", error))?;
    Ok(LaneSettings {
        concurrency: settings.worker_concurrency,
        call_timeout: settings.worker_call_timeout_ms,
        breaker,
        has_breaker: true,
    })
}

/// The configured providers, or else the two default simulators.
fn providers(
    resolved: &Resolved,
    settings: &Settings,
) -> anyhow::Result<(SimulatorSettings, BTreeMap<ProviderName, LaneSettings>)> {
    let faults = Faults {
        timeout_pct: settings.provider_timeout_pct,
        error_pct: settings.provider_error_pct,
        ratelimit_pct: settings.provider_ratelimit_pct,
        rejected_pct: settings.provider_rejected_pct,
        timeout_taken_pct: settings.provider_timeout_taken_pct,
        latency: settings.provider_latency_ms,
        latency_max: settings.provider_latency_max_ms,
        seed: settings.provider_seed,
    };
    let mut simulators = SimulatorSettings {
        instances: Vec::new(),
        config: SimulatorConfig {
            faults,
            receipts: ReceiptShares {
                delivered_pct: settings.provider_receipts_delivered_pct,
                undelivered_pct: settings.provider_receipts_undelivered_pct,
                delay: settings.provider_receipts_delay_ms,
                duplicate_pct: settings.provider_receipts_duplicate_pct,
            },
            providers: BTreeMap::new(),
        },
        ledger: settings.provider_ledger.clone(),
    };
    let mut add = |instance: SimulatorInstance, own: FaultOverrides| {
        if own != FaultOverrides::default() {
            simulators.config.providers.insert(instance.name.to_string(), own);
        }
        simulators.instances.push(instance);
    };
    let mut lanes = BTreeMap::new();
    if resolved.providers.is_empty() {
        for (instance, own) in default_simulators(settings) {
            add(instance, own);
        }
    } else {
        refuse_settings_of_default_simulators(resolved)?;
        for table in &resolved.providers {
            let resolved = resolved.for_provider(table);
            let settings = Settings::read(&resolved)?;
            lanes.insert(table.name.clone(), lane(&resolved, &settings)?);
            let (instance, own) = simulator(table, &settings);
            add(instance, own);
        }
    }
    if let Err(error) = simulators.check() {
        bail!("API_PROVIDER_…, or the faults and receipts of a [[provider]]: {error}");
    }
    Ok((simulators, lanes))
}

fn simulator(table: &ProviderTable, settings: &Settings) -> (SimulatorInstance, FaultOverrides) {
    let is_own = |key: &str| table.own.contains_key(key);
    let own = |key: &str, share: u8| is_own(key).then_some(share);
    let overrides = FaultOverrides {
        timeout_pct: own("provider_timeout_pct", settings.provider_timeout_pct),
        error_pct: own("provider_error_pct", settings.provider_error_pct),
        ratelimit_pct: own("provider_ratelimit_pct", settings.provider_ratelimit_pct),
        rejected_pct: own("provider_rejected_pct", settings.provider_rejected_pct),
        timeout_taken_pct: own("provider_timeout_taken_pct", settings.provider_timeout_taken_pct),
        latency: is_own("provider_latency_ms").then_some(settings.provider_latency_ms),
        latency_max: settings
            .provider_latency_max_ms
            .filter(|_| is_own("provider_latency_max_ms")),
        seed: settings.provider_seed.filter(|_| is_own("provider_seed")),
        receipts: ReceiptOverrides {
            delivered_pct: own(
                "provider_receipts_delivered_pct",
                settings.provider_receipts_delivered_pct,
            ),
            undelivered_pct: own(
                "provider_receipts_undelivered_pct",
                settings.provider_receipts_undelivered_pct,
            ),
            delay: is_own("provider_receipts_delay_ms").then_some(settings.provider_receipts_delay_ms),
            duplicate_pct: own(
                "provider_receipts_duplicate_pct",
                settings.provider_receipts_duplicate_pct,
            ),
        },
    };
    let instance = SimulatorInstance {
        name: table.name.clone(),
        channels: table.channels.clone(),
        retry_after: settings.provider_retry_after_ms,
    };
    (instance, overrides)
}

fn default_simulators(settings: &Settings) -> Vec<(SimulatorInstance, FaultOverrides)> {
    let sms = FaultOverrides {
        timeout_pct: settings.provider_sms_timeout_pct,
        error_pct: settings.provider_sms_error_pct,
        ratelimit_pct: settings.provider_sms_ratelimit_pct,
        rejected_pct: settings.provider_sms_rejected_pct,
        timeout_taken_pct: settings.provider_sms_timeout_taken_pct,
        latency: settings.provider_sms_latency_ms,
        latency_max: settings.provider_sms_latency_max_ms,
        seed: settings.provider_sms_seed,
        receipts: ReceiptOverrides {
            delivered_pct: settings.provider_sms_receipts_delivered_pct,
            undelivered_pct: settings.provider_sms_receipts_undelivered_pct,
            delay: settings.provider_sms_receipts_delay_ms,
            duplicate_pct: settings.provider_sms_receipts_duplicate_pct,
        },
    };
    let email = FaultOverrides {
        timeout_pct: settings.provider_email_timeout_pct,
        error_pct: settings.provider_email_error_pct,
        ratelimit_pct: settings.provider_email_ratelimit_pct,
        rejected_pct: settings.provider_email_rejected_pct,
        timeout_taken_pct: settings.provider_email_timeout_taken_pct,
        latency: settings.provider_email_latency_ms,
        latency_max: settings.provider_email_latency_max_ms,
        seed: settings.provider_email_seed,
        receipts: ReceiptOverrides {
            delivered_pct: settings.provider_email_receipts_delivered_pct,
            undelivered_pct: settings.provider_email_receipts_undelivered_pct,
            delay: settings.provider_email_receipts_delay_ms,
            duplicate_pct: settings.provider_email_receipts_duplicate_pct,
        },
    };
    let enabled = [
        (settings.provider_sms_enabled, sms),
        (settings.provider_email_enabled, email),
    ];
    let instances = SimulatorSettings::default().instances.into_iter().zip(enabled);
    let instances = instances.filter(|(_, (enabled, _))| *enabled);
    instances
        .map(|(instance, (_, own))| {
            let retry_after = settings.provider_retry_after_ms;
            (
                SimulatorInstance {
                    retry_after,
                    ..instance
                },
                own,
            )
        })
        .collect()
}

/// They would do nothing.
fn refuse_settings_of_default_simulators(resolved: &Resolved) -> anyhow::Result<()> {
    for setting in super::SETTINGS {
        let is_theirs = OF_DEFAULT_SIMULATORS
            .iter()
            .any(|prefix| setting.key.starts_with(prefix));
        if is_theirs && *resolved.source(setting.key) != Source::Default {
            let detail = "has no effect on the providers of [[provider]] tables: set their faults there";
            return Err(resolved.invalid(setting.key, detail));
        }
    }
    Ok(())
}

fn routes(resolved: &Resolved, simulators: &SimulatorSettings) -> anyhow::Result<Vec<RouteSettings>> {
    let instances = simulators.instances.iter();
    let providers = instances.map(|instance| (&instance.name, instance.channels.as_slice()));
    for route in &resolved.routes {
        if let Err(error) = route.settings.check(providers.clone()) {
            bail!("{}: providers: {error}", route.place);
        }
    }
    Ok(resolved
        .routes
        .iter()
        .map(|route| route.settings.clone())
        .collect())
}
