use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    extract::{Request, State},
};
use domain::{FieldError, ProviderName, snippet};
use providers::simulator::{
    ConfigError, ConfigProblem, FaultOverrides, Faults, ReceiptOverrides, ReceiptShares, SimulatorConfig,
    Simulators,
};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use utoipa::ToSchema;

use super::simulators;
use crate::{
    extract::AppState,
    json::{escaped, parse, read_body},
    openapi::{
        problems::{SimulatorConfigErrors, SimulatorErrors},
        schemas,
    },
    problem::Problem,
};

/// How much of a provider's name is repeated.
const NAME_GRAPHEMES: usize = 64;

/// How often the simulated providers fail and in which way, and how long they take.
#[derive(Deserialize, ToSchema)]
struct Simulation {
    #[schema(required, value_type = schemas::Percentage)]
    timeout_pct: Option<u64>,
    #[schema(required, value_type = schemas::Percentage)]
    error_pct: Option<u64>,
    #[schema(required, value_type = schemas::Percentage)]
    ratelimit_pct: Option<u64>,
    /// Share of calls that are refused for good; 0 without it.
    #[schema(value_type = Option<schemas::Percentage>)]
    rejected_pct: Option<u64>,
    /// Share of timeouts in which the provider takes the message all the same; 0 without it.
    #[schema(value_type = Option<schemas::Percentage>)]
    timeout_taken_pct: Option<u64>,
    /// How long a response takes, in milliseconds: an hour at most, 0 without it.
    #[schema(value_type = Option<schemas::Count>, maximum = 3_600_000)]
    latency_ms: Option<u64>,
    /// With it, a response takes from `latency_ms` to this, another time in each call.
    #[schema(value_type = Option<schemas::Count>, maximum = 3_600_000)]
    latency_max_ms: Option<u64>,
    #[schema(value_type = Option<schemas::Seed>)]
    seed: Option<u64>,
    #[schema(value_type = Option<SimulatedReceipts>)]
    receipts: Option<SimulatedReceipts>,
    /// What differs for single providers, by name.
    #[serde(default)]
    providers: BTreeMap<String, SimulatedOverride>,
    /// Ignored, so that what a GET shows can be put back.
    #[schema(value_type = Option<Object>)]
    #[serde(rename = "effective")]
    _effective: Option<IgnoredAny>,
}

/// What differs for one provider; the rest is as for all.
#[derive(Serialize, Deserialize, ToSchema)]
struct SimulatedOverride {
    #[schema(value_type = Option<schemas::Percentage>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_pct: Option<u64>,
    #[schema(value_type = Option<schemas::Percentage>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    error_pct: Option<u64>,
    #[schema(value_type = Option<schemas::Percentage>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    ratelimit_pct: Option<u64>,
    #[schema(value_type = Option<schemas::Percentage>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_pct: Option<u64>,
    #[schema(value_type = Option<schemas::Percentage>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_taken_pct: Option<u64>,
    #[schema(value_type = Option<schemas::Count>, maximum = 3_600_000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<u64>,
    #[schema(value_type = Option<schemas::Count>, maximum = 3_600_000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_max_ms: Option<u64>,
    #[schema(value_type = Option<schemas::Seed>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[schema(value_type = Option<SimulatedReceipts>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    receipts: Option<SimulatedReceipts>,
}

/// Which receipts come for messages that a provider took: none, unless it is said here.
#[derive(Default, Serialize, Deserialize, ToSchema)]
struct SimulatedReceipts {
    #[schema(value_type = Option<schemas::Percentage>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered_pct: Option<u64>,
    #[schema(value_type = Option<schemas::Percentage>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    undelivered_pct: Option<u64>,
    /// How long after the call a receipt comes, in milliseconds: a day at most.
    #[schema(value_type = Option<schemas::Count>, maximum = 86_400_000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    /// Share of receipts that come twice.
    #[schema(value_type = Option<schemas::Percentage>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate_pct: Option<u64>,
}

/// The configuration of the simulated providers.
#[derive(Serialize, ToSchema)]
pub(crate) struct SimulationShown {
    #[schema(value_type = schemas::Percentage)]
    timeout_pct: u8,
    #[schema(value_type = schemas::Percentage)]
    error_pct: u8,
    #[schema(value_type = schemas::Percentage)]
    ratelimit_pct: u8,
    #[schema(value_type = schemas::Percentage)]
    rejected_pct: u8,
    /// Share of timeouts in which the provider takes the message all the same.
    #[schema(value_type = schemas::Percentage)]
    timeout_taken_pct: u8,
    /// How long a response takes, in milliseconds; at least, with `latency_max_ms`.
    #[schema(value_type = schemas::Count)]
    latency_ms: u64,
    #[schema(value_type = Option<schemas::Count>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_max_ms: Option<u64>,
    #[schema(value_type = Option<schemas::Seed>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    receipts: SimulatedReceipts,
    /// What differs for single providers, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    providers: BTreeMap<String, SimulatedOverride>,
    /// What holds for each provider, by name.
    effective: BTreeMap<String, SimulatedEffect>,
}

/// What holds for one provider.
#[derive(Serialize, ToSchema)]
struct SimulatedEffect {
    #[schema(value_type = schemas::Percentage)]
    timeout_pct: u8,
    #[schema(value_type = schemas::Percentage)]
    error_pct: u8,
    #[schema(value_type = schemas::Percentage)]
    ratelimit_pct: u8,
    #[schema(value_type = schemas::Percentage)]
    rejected_pct: u8,
    /// The rest.
    #[schema(value_type = schemas::Percentage)]
    success_pct: u8,
    /// Share of timeouts in which the provider takes the message all the same.
    #[schema(value_type = schemas::Percentage)]
    timeout_taken_pct: u8,
    /// How long a response takes at least, in milliseconds.
    #[schema(value_type = schemas::Count)]
    latency_ms: u64,
    /// How long a response takes at most, in milliseconds.
    #[schema(value_type = schemas::Count)]
    latency_max_ms: u64,
    #[schema(value_type = Option<schemas::Seed>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    receipts: SimulatedReceipts,
}

impl Simulation {
    fn read(self) -> Result<SimulatorConfig, Problem> {
        let mut missing = Vec::new();
        let mut required = |name: &str, given: Option<u64>| {
            if given.is_none() {
                missing.push(FieldError::new(
                    format!("/{name}"),
                    "is required: use an integer from 0 to 100",
                ));
            }
            share(given.unwrap_or_default())
        };
        let faults = Faults {
            timeout_pct: required("timeout_pct", self.timeout_pct),
            error_pct: required("error_pct", self.error_pct),
            ratelimit_pct: required("ratelimit_pct", self.ratelimit_pct),
            rejected_pct: self.rejected_pct.map_or(0, share),
            timeout_taken_pct: self.timeout_taken_pct.map_or(0, share),
            latency: self.latency_ms.map_or(Duration::ZERO, Duration::from_millis),
            latency_max: self.latency_max_ms.map(Duration::from_millis),
            seed: self.seed,
        };
        if !missing.is_empty() {
            return Err(Problem::invalid(missing));
        }
        let providers = self.providers.into_iter().map(|(name, own)| (name, own.into()));
        Ok(SimulatorConfig {
            faults,
            receipts: self.receipts.unwrap_or_default().shares(),
            providers: providers.collect(),
        })
    }
}

/// A number that is too high for a share stays too high: [`SimulatorConfig::check`] finds it.
fn share(number: u64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<SimulatedOverride> for FaultOverrides {
    fn from(own: SimulatedOverride) -> Self {
        Self {
            timeout_pct: own.timeout_pct.map(share),
            error_pct: own.error_pct.map(share),
            ratelimit_pct: own.ratelimit_pct.map(share),
            rejected_pct: own.rejected_pct.map(share),
            timeout_taken_pct: own.timeout_taken_pct.map(share),
            latency: own.latency_ms.map(Duration::from_millis),
            latency_max: own.latency_max_ms.map(Duration::from_millis),
            seed: own.seed,
            receipts: own.receipts.unwrap_or_default().overrides(),
        }
    }
}

impl From<FaultOverrides> for SimulatedOverride {
    fn from(own: FaultOverrides) -> Self {
        Self {
            timeout_pct: own.timeout_pct.map(u64::from),
            error_pct: own.error_pct.map(u64::from),
            ratelimit_pct: own.ratelimit_pct.map(u64::from),
            rejected_pct: own.rejected_pct.map(u64::from),
            timeout_taken_pct: own.timeout_taken_pct.map(u64::from),
            latency_ms: own.latency.map(milliseconds),
            latency_max_ms: own.latency_max.map(milliseconds),
            seed: own.seed,
            receipts: (own.receipts != ReceiptOverrides::default())
                .then(|| SimulatedReceipts::own(own.receipts)),
        }
    }
}

impl SimulatedReceipts {
    fn overrides(self) -> ReceiptOverrides {
        ReceiptOverrides {
            delivered_pct: self.delivered_pct.map(share),
            undelivered_pct: self.undelivered_pct.map(share),
            delay: self.delay_ms.map(Duration::from_millis),
            duplicate_pct: self.duplicate_pct.map(share),
        }
    }

    fn shares(self) -> ReceiptShares {
        let ReceiptOverrides {
            delivered_pct,
            undelivered_pct,
            delay,
            duplicate_pct,
        } = self.overrides();
        ReceiptShares {
            delivered_pct: delivered_pct.unwrap_or_default(),
            undelivered_pct: undelivered_pct.unwrap_or_default(),
            delay: delay.unwrap_or_default(),
            duplicate_pct: duplicate_pct.unwrap_or_default(),
        }
    }

    fn own(own: ReceiptOverrides) -> Self {
        Self {
            delivered_pct: own.delivered_pct.map(u64::from),
            undelivered_pct: own.undelivered_pct.map(u64::from),
            delay_ms: own.delay.map(milliseconds),
            duplicate_pct: own.duplicate_pct.map(u64::from),
        }
    }

    fn all(shares: ReceiptShares) -> Self {
        Self::own(ReceiptOverrides {
            delivered_pct: Some(shares.delivered_pct),
            undelivered_pct: Some(shares.undelivered_pct),
            delay: Some(shares.delay),
            duplicate_pct: Some(shares.duplicate_pct),
        })
    }
}

impl SimulationShown {
    fn of(simulators: &Simulators) -> Self {
        let config = simulators.config();
        let effect = |name: &ProviderName| {
            let faults = config.effective(name);
            let (least, most) = faults.latency_range();
            let effect = SimulatedEffect {
                timeout_pct: faults.timeout_pct,
                error_pct: faults.error_pct,
                ratelimit_pct: faults.ratelimit_pct,
                rejected_pct: faults.rejected_pct,
                success_pct: faults.success_pct(),
                timeout_taken_pct: faults.timeout_taken_pct,
                latency_ms: milliseconds(least),
                latency_max_ms: milliseconds(most),
                seed: faults.seed,
                receipts: SimulatedReceipts::all(config.effective_receipts(name)),
            };
            (name.to_string(), effect)
        };
        let effective = simulators.names().map(effect).collect();
        let SimulatorConfig {
            faults,
            receipts,
            providers,
        } = config;
        Self {
            timeout_pct: faults.timeout_pct,
            error_pct: faults.error_pct,
            ratelimit_pct: faults.ratelimit_pct,
            rejected_pct: faults.rejected_pct,
            timeout_taken_pct: faults.timeout_taken_pct,
            latency_ms: milliseconds(faults.latency),
            latency_max_ms: faults.latency_max.map(milliseconds),
            seed: faults.seed,
            receipts: SimulatedReceipts::all(receipts),
            providers: providers
                .into_iter()
                .map(|(name, own)| (name, own.into()))
                .collect(),
            effective,
        }
    }
}

/// Read the simulators' configuration
///
/// Shows the configuration and what holds for each provider. This route exists only while a provider is simulated.
#[utoipa::path(
    get, path = "/api/provider/mock/config", operation_id = "getSimulation", tag = "Simulated providers",
    responses((status = 200, body = SimulationShown, description = "The configuration, and what holds for each provider."), SimulatorErrors),
)]
pub(crate) async fn read(State(app): AppState) -> Result<Json<SimulationShown>, Problem> {
    Ok(Json(SimulationShown::of(simulators(&app)?)))
}

/// Replace the simulators' configuration
///
/// Replaces the whole configuration at once. `timeout_pct`, `error_pct`, `ratelimit_pct` and `rejected_pct` of a provider add
/// up to 100 at most; otherwise nothing changes. A seed restarts the sequences it governs, also when it is the same. This route exists only while a
/// provider is simulated.
#[utoipa::path(
    put, path = "/api/provider/mock/config", operation_id = "putSimulation", tag = "Simulated providers",
    request_body(
        content = Simulation,
        examples(
            ("calm" = (value = json!({"timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0}))),
            ("storm" = (value = json!({
                "timeout_pct": 5, "error_pct": 40, "ratelimit_pct": 10, "seed": 42, "providers": {"email": {"error_pct": 0}},
            }))),
            ("hard" = (value = json!({
                "timeout_pct": 10, "timeout_taken_pct": 50, "error_pct": 0, "ratelimit_pct": 0, "rejected_pct": 5,
                "latency_ms": 50, "latency_max_ms": 400,
            }))),
            ("receipts" = (value = json!({
                "timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0,
                "receipts": {"delivered_pct": 90, "undelivered_pct": 5, "delay_ms": 200, "duplicate_pct": 10},
            }))),
        ),
    ),
    responses((status = 200, body = SimulationShown, description = "The new configuration, and what holds for each provider."), SimulatorConfigErrors),
)]
pub(crate) async fn replace(
    State(app): AppState,
    request: Request,
) -> Result<Json<SimulationShown>, Problem> {
    let (head, body) = request.into_parts();
    let body = read_body(&app, &head.headers, body).await?;
    let config = parse::<Simulation>(&body)?.read()?;
    let simulators = simulators(&app)?;
    simulators.replace(config).map_err(invalid)?;
    Ok(Json(SimulationShown::of(simulators)))
}

fn invalid(error: ConfigError) -> Problem {
    let field = |problem: ConfigProblem| {
        let provider = problem
            .provider
            .map(|name| escaped(&snippet(&name, NAME_GRAPHEMES)));
        let provider = provider.map(|name| format!("/providers/{name}"));
        let field = problem.field.map(|name| format!("/{name}"));
        let pointer = [provider, field].into_iter().flatten().collect::<String>();
        FieldError::new(pointer, problem.detail)
    };
    Problem::unknown_names(error.problems.into_iter().map(field).collect())
}
