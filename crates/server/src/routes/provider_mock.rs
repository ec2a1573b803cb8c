use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use domain::{Channel, FieldError, MessageId, Origin};
use providers::simulator::{ConfigError, SimulatorConfig, Simulators};
use utoipa::ToSchema;

use super::{
    accepted::Accepted,
    message_body::{message_body, provider_message_id},
    webhooks::{Inbound, InboundParams, receive},
};
use crate::{
    App,
    extract::AppState,
    json::{parse, parse_lenient, read_body},
    lenient,
    openapi::{
        enums,
        problems::{InjectErrors, SimulatorConfigErrors, SimulatorErrors},
        schemas,
    },
    problem::Problem,
};

message_body! {
    /// A message that a simulated provider delivers. Fields that are not listed are ignored.
    MockInbound {
        #[schema(required, value_type = enums::Channel)]
        channel,
        /// If given, the same as `channel`.
        #[schema(value_type = Option<enums::Channel>)]
        r#type,
        /// A phone number, short code or sender name; of an email an email address.
        #[schema(required, value_type = String)]
        #[serde(deserialize_with = "lenient::text_or_integer")]
        from,
        /// A phone number or short code; of an email an email address.
        #[schema(required, value_type = String)]
        #[serde(deserialize_with = "lenient::text_or_integer")]
        to,
        /// May be empty or missing.
        #[schema(value_type = Option<schemas::Text>)]
        body,
        /// Made up if missing.
        #[schema(value_type = Option<schemas::ProviderMessageId>)]
        #[serde(deserialize_with = "lenient::text_or_integer")]
        provider_message_id,
    }
}

/// How the simulated providers are to behave.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `SimulatorConfig` reads")]
struct Simulation {
    #[schema(value_type = schemas::Percentage)]
    timeout_pct: u8,
    #[schema(value_type = schemas::Percentage)]
    error_pct: u8,
    #[schema(value_type = schemas::Percentage)]
    ratelimit_pct: u8,
    #[schema(value_type = Option<schemas::Seed>)]
    seed: Option<u64>,
    providers: Option<SimulatedOverrides>,
}

/// What differs for single providers.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it describes what `SimulatorConfig` reads")]
struct SimulatedOverrides {
    #[serde(rename = "sms-mms")]
    sms_mms: Option<SimulatedOverride>,
    email: Option<SimulatedOverride>,
}

/// What differs for one provider; the rest is as for all.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `SimulatorConfig` reads")]
struct SimulatedOverride {
    #[schema(value_type = Option<schemas::Percentage>)]
    timeout_pct: Option<u8>,
    #[schema(value_type = Option<schemas::Percentage>)]
    error_pct: Option<u8>,
    #[schema(value_type = Option<schemas::Percentage>)]
    ratelimit_pct: Option<u8>,
    #[schema(value_type = Option<schemas::Seed>)]
    seed: Option<u64>,
}

/// How the simulated providers behave.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `SimulatorConfig` writes")]
struct SimulationShown {
    #[serde(flatten)]
    set: Simulation,
    effective: SimulatedEffects,
}

/// What is in effect for each provider.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `SimulatorConfig` writes")]
struct SimulatedEffects {
    #[serde(rename = "sms-mms")]
    sms_mms: SimulatedEffect,
    email: SimulatedEffect,
}

/// What is in effect for one provider.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `SimulatorConfig` writes")]
struct SimulatedEffect {
    #[schema(value_type = schemas::Percentage)]
    timeout_pct: u8,
    #[schema(value_type = schemas::Percentage)]
    error_pct: u8,
    #[schema(value_type = schemas::Percentage)]
    ratelimit_pct: u8,
    /// The rest.
    #[schema(value_type = schemas::Percentage)]
    success_pct: u8,
    #[schema(value_type = Option<schemas::Seed>)]
    seed: Option<u64>,
}

/// How the simulated providers behave
///
/// What was set, and what is in effect for each provider. This route exists only while a provider is simulated.
#[utoipa::path(
    get, path = "/api/provider/mock/config", operation_id = "getSimulation", tag = "Simulated providers",
    responses((status = 200, body = SimulationShown, description = "What is set and in effect."), SimulatorErrors),
)]
pub(crate) async fn config(State(app): AppState) -> Result<Response, Problem> {
    Ok(Json(simulators(&app)?.config()).into_response())
}

/// Let the simulated providers behave otherwise
///
/// Replaces the whole configuration at once. For every provider, the three percentages in effect may add up to 100 at
/// most; otherwise nothing changes. A seed restarts the sequences it governs, also when it is the same. This route
/// exists only while a provider is simulated.
#[utoipa::path(
    put, path = "/api/provider/mock/config", operation_id = "putSimulation", tag = "Simulated providers",
    request_body(
        content = Simulation,
        examples(
            ("calm" = (value = json!({"timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0}))),
            ("storm" = (value = json!({
                "timeout_pct": 5, "error_pct": 40, "ratelimit_pct": 10, "seed": 42, "providers": {"email": {"error_pct": 0}},
            }))),
        ),
    ),
    responses((status = 200, body = SimulationShown, description = "What is set and in effect now."), SimulatorConfigErrors),
)]
pub(crate) async fn replace(State(app): AppState, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let body = read_body(&app, &head.headers, body).await?;
    let value: serde_json::Value = parse(&body)?;
    let config = SimulatorConfig::try_from(value).map_err(invalid)?;
    let simulators = simulators(&app)?;
    simulators.replace(config).map_err(invalid)?;
    Ok(Json(simulators.config()).into_response())
}

/// Let a simulated provider deliver a message
///
/// A `202` means that the message is durable. A repeat, told by the provider's message id, gets the same answer and
/// changes nothing. This route exists only while a provider is simulated.
#[utoipa::path(
    post, path = "/api/provider/mock/inbound", operation_id = "injectInbound", tag = "Simulated providers",
    params(InboundParams),
    request_body(
        content = MockInbound,
        examples(
            ("sms" = (value = json!({"channel": "sms", "from": "+18045551234", "to": "+12016661234", "body": "Hi, who is this?"}))),
        ),
    ),
    responses((status = 202, body = Accepted, description = "Stored, now or before."), InjectErrors),
)]
pub(crate) async fn inbound(State(app): AppState, request: Request) -> Result<Response, Problem> {
    // A simulated message needs no id of its own; real providers always have one.
    let made_up = || format!("simulated-{}", MessageId::mint(app.engine().now(), &app.0.ids));
    receive(&app, request, |body| {
        let mut body: MockInbound = parse_lenient(body)?;
        let id = body.provider_message_id.take().unwrap_or_else(made_up);
        Ok(Inbound {
            provider_message_id: provider_message_id("/provider_message_id", Some(id)),
            draft: body.draft(Origin::Provider, Channel::ALL)?,
        })
    })
    .await
}

fn simulators(app: &App) -> Result<&Arc<Simulators>, Problem> {
    app.0
        .simulators
        .as_ref()
        .ok_or_else(|| Problem::not_found("route"))
}

fn invalid(error: ConfigError) -> Problem {
    let field = |(pointer, detail): (String, String)| FieldError::new(pointer, detail);
    Problem::invalid(error.problems.into_iter().map(field).collect())
}
