use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use domain::{Draft, FieldError, MessageId, named_channel};
use providers::simulator::{ConfigError, SimulatorConfig, Simulators};
use serde::Deserialize;

use super::webhooks::{Inbound, receive, required_id};
use crate::{
    App,
    extract::Ask,
    json::{parse, read_body},
    problem::Problem,
};

#[derive(Deserialize)]
struct InboundRequest {
    channel: Option<String>,
    r#type: Option<String>,
    from: Option<String>,
    to: Option<String>,
    subject: Option<String>,
    body: Option<String>,
    attachments: Option<Vec<String>>,
    timestamp: Option<String>,
    provider_message_id: Option<String>,
}

/// `GET /api/provider/mock/config`
pub(crate) async fn config(State(app): Ask) -> Result<Response, Problem> {
    Ok(Json(simulators(&app)?.config()).into_response())
}

/// `PUT /api/provider/mock/config`
pub(crate) async fn replace(State(app): Ask, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let body = read_body(&app, &head.headers, body).await?;
    let value: serde_json::Value = parse(&body)?;
    let config = SimulatorConfig::try_from(value).map_err(invalid)?;
    let simulators = simulators(&app)?;
    simulators.replace(config).map_err(invalid)?;
    Ok(Json(simulators.config()).into_response())
}

/// `POST /api/provider/mock/inbound`
pub(crate) async fn inbound(State(app): Ask, request: Request) -> Result<Response, Problem> {
    // A simulated message needs no id of its own; real providers always have one.
    let made_up = || format!("simulated-{}", MessageId::mint(app.engine().now(), &app.0.ids));
    receive(&app, request, |body| {
        let request: InboundRequest = parse(body)?;
        let InboundRequest {
            channel,
            r#type,
            from,
            to,
            subject,
            body,
            attachments,
            timestamp,
            provider_message_id,
        } = request;
        let channel = named_channel(channel.as_deref(), r#type.as_deref());
        let channel = channel.map_err(|error| Problem::invalid(vec![error]))?;
        let id = provider_message_id.unwrap_or_else(made_up);
        Ok(Inbound {
            draft: Draft {
                channel,
                from,
                to,
                subject,
                body,
                attachments,
                timestamp,
            },
            provider_message_id: required_id("/provider_message_id", Some(id)),
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
