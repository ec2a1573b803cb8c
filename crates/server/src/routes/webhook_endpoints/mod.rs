//! `/api/webhook-endpoints`: URLs that get events.

pub(crate) mod view;

mod request;

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Query, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{EventId, Timestamp, WebhookEndpointId};
use engine::EndpointError;
use serde::Serialize;
use store::{Endpoint, EventsRead};
use utoipa::ToSchema;

use super::listing::{Envelope, ListingParameters, Paging, answer};
use crate::{
    App,
    extract::{self, AppState, PathId},
    json::{parse, read_body, read_nothing},
    openapi::{
        enums,
        problems::{EndpointErrors, LookupErrors, NewEndpointErrors, ReadErrors, ThreadErrors},
        schemas,
    },
    problem::{Code, Problem},
};
use request::{EndpointPatch, NewWebhookEndpoint, ReplayRequest, invalid};
use view::{DeliveryView, EndpointView, EndpointWithSecret, WebhookEndpoints, WebhookTest};

/// The most bytes of a delivery in an answer: 20 attempts with their answers.
const DELIVERY_BYTES: usize = 24 * 1_024;

/// Register a webhook endpoint
///
/// It gets the events from now on, signed as Standard Webhooks 1.0 defines. Only this answer and that of a rotation show the
/// secret. There may be 100 endpoints.
#[utoipa::path(
    post, path = "/api/webhook-endpoints", operation_id = "createWebhookEndpoint", tag = "Webhooks",
    request_body(
        content = NewWebhookEndpoint,
        examples(
            ("all" = (value = json!({"url": "https://example.com/hooks/trunkline"}))),
            ("some" = (value = json!({"url": "https://example.com/hooks/trunkline", "types": ["message.delivered", "message.failed"], "payload": "thin", "description": "Order service"}))),
        ),
    ),
    responses(
        (status = 201, body = EndpointWithSecret, description = "The endpoint.", headers(
            ("Location" = String, description = "Where to read the endpoint."),
        )),
        NewEndpointErrors,
    ),
)]
pub(crate) async fn create(State(app): AppState, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let body: NewWebhookEndpoint = parse(&read_body(&app, &head.headers, body).await?)?;
    let created = app.engine().webhooks().create(body.read()?).await;
    let endpoint = created.map_err(problem)?;
    let location = HeaderValue::try_from(format!("/api/webhook-endpoints/{}", endpoint.id));
    // Only this answer shows the secret: nothing may fail any more. A new endpoint has no events to take.
    let lag = Some(0.0);
    let shown = EndpointWithSecret::of(endpoint, lag, app.engine().now());
    let mut response = (StatusCode::CREATED, Json(shown)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// List webhook endpoints
#[utoipa::path(
    get, path = "/api/webhook-endpoints", operation_id = "listWebhookEndpoints", tag = "Webhooks",
    responses((status = 200, body = WebhookEndpoints, description = "All endpoints, oldest first."), LookupErrors),
)]
pub(crate) async fn list(State(app): AppState) -> Result<Response, Problem> {
    let endpoints = app.engine().webhooks().list().await?;
    let end = app.engine().events().end().await?;
    let mut items = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints {
        let oldest = oldest_after(&app, endpoint.cursor, end).await?;
        items.push(EndpointView::of(
            endpoint,
            Some(lag(&app, oldest)),
            app.engine().now(),
        ));
    }
    Ok(Json(WebhookEndpoints { items }).into_response())
}

/// Read a webhook endpoint
#[utoipa::path(
    get, path = "/api/webhook-endpoints/{id}", operation_id = "getWebhookEndpoint", tag = "Webhooks",
    params(("id" = schemas::WebhookEndpointId, Path, description = "The endpoint's id")),
    responses((status = 200, body = EndpointView, description = "The endpoint."), ReadErrors),
)]
pub(crate) async fn get(State(app): AppState, id: PathId) -> Result<Response, Problem> {
    let endpoint = app.engine().webhooks().get(endpoint_id(id)?).await?;
    shown(&app, endpoint).await
}

/// Change a webhook endpoint
///
/// Fields that are missing stay as they are. An endpoint that is enabled again gets all events since it was disabled that are
/// still kept.
#[utoipa::path(
    patch, path = "/api/webhook-endpoints/{id}", operation_id = "changeWebhookEndpoint", tag = "Webhooks",
    params(("id" = schemas::WebhookEndpointId, Path, description = "The endpoint's id")),
    request_body(
        content = EndpointPatch,
        examples(
            ("enable" = (value = json!({"enabled": true}))),
            ("types" = (value = json!({"types": ["message.received"]}))),
        ),
    ),
    responses((status = 200, body = EndpointView, description = "The endpoint after the change."), EndpointErrors),
)]
pub(crate) async fn change(State(app): AppState, id: PathId, request: Request) -> Result<Response, Problem> {
    let id = endpoint_id(id)?;
    let (head, body) = request.into_parts();
    let change: EndpointPatch = parse(&read_body(&app, &head.headers, body).await?)?;
    let changed = app.engine().webhooks().change(id, &change.read()?).await;
    shown(&app, changed.map_err(problem)?).await
}

/// Delete a webhook endpoint
#[utoipa::path(
    delete, path = "/api/webhook-endpoints/{id}", operation_id = "deleteWebhookEndpoint", tag = "Webhooks",
    params(("id" = schemas::WebhookEndpointId, Path, description = "The endpoint's id")),
    responses((status = 204, description = "It gets no more events, and its deliveries are deleted."), ReadErrors),
)]
pub(crate) async fn delete(State(app): AppState, id: PathId) -> Result<StatusCode, Problem> {
    if app.engine().webhooks().delete(endpoint_id(id)?).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown())
    }
}

/// Replace the secret of a webhook endpoint
///
/// For 24 hours, webhooks are signed with the old secret too. After several rotations within that time, the latest five old
/// secrets sign. The request needs no body.
#[utoipa::path(
    post, path = "/api/webhook-endpoints/{id}/rotate-secret", operation_id = "rotateWebhookSecret", tag = "Webhooks",
    params(("id" = schemas::WebhookEndpointId, Path, description = "The endpoint's id")),
    responses((status = 200, body = EndpointWithSecret, description = "The endpoint, with its new secret."), EndpointErrors),
)]
pub(crate) async fn rotate(State(app): AppState, id: PathId, request: Request) -> Result<Response, Problem> {
    let id = endpoint_id(id)?;
    read_nothing(&app, request).await?;
    let rotated = app.engine().webhooks().rotate_secret(id).await?;
    let endpoint = rotated.ok_or_else(unknown)?;
    // Only this answer shows the secret: nothing may fail any more, so it does without the lag.
    Ok(Json(EndpointWithSecret::of(endpoint, None, app.engine().now())).into_response())
}

/// Test a webhook endpoint
///
/// Calls it once, also if it is disabled, with an event of the type `webhook_endpoint.test`, and shows what came back. This may
/// take 15 seconds. The request needs no body.
#[utoipa::path(
    post, path = "/api/webhook-endpoints/{id}/test", operation_id = "testWebhookEndpoint", tag = "Webhooks",
    params(("id" = schemas::WebhookEndpointId, Path, description = "The endpoint's id")),
    responses((status = 200, body = WebhookTest, description = "What came back."), EndpointErrors),
)]
pub(crate) async fn test(State(app): AppState, id: PathId, request: Request) -> Result<Response, Problem> {
    let id = endpoint_id(id)?;
    read_nothing(&app, request).await?;
    let place = app.waits().request()?;
    let tested = app.engine().webhooks().test(id).await.map_err(problem)?;
    drop(place);
    let report = tested.ok_or_else(unknown)?;
    let answer = Json(WebhookTest::from(report)).into_response();
    Ok(super::waiting::on_demand(answer))
}

/// List the deliveries of a webhook endpoint
///
/// Events that did not get through: those that are tried again, and those that failed. Oldest events first. Successful
/// deliveries are only counted.
#[utoipa::path(
    get, path = "/api/webhook-endpoints/{id}/deliveries", operation_id = "listWebhookDeliveries", tag = "Webhooks",
    params(
        ("id" = schemas::WebhookEndpointId, Path, description = "The endpoint's id"),
        Paging,
        ("status" = Option<enums::DeliveryStatus>, Query),
    ),
    responses((status = 200, body = Envelope<DeliveryView>, description = "A page of deliveries."), ThreadErrors),
)]
pub(crate) async fn deliveries(
    State(app): AppState,
    id: PathId,
    query: Query<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    let id = endpoint_id(id)?;
    let parameters = ListingParameters::of(query);
    let status = parameters.filter("status")?;
    let request = parameters.page()?;
    let room = app
        .answers()
        .room(request.size() as usize * DELIVERY_BYTES)
        .await?;
    let page = app.engine().webhooks().deliveries(id, status, &request).await?;
    let page = page.ok_or_else(unknown)?;
    answer(&app, room, &request, page, DeliveryView::from).await
}

/// A replay that will be done.
#[derive(Serialize, ToSchema)]
struct ReplayResponse {
    /// Always `accepted`.
    #[schema(pattern = "^accepted$", example = "accepted")]
    status: &'static str,
    #[schema(value_type = schemas::WebhookEndpointId)]
    id: WebhookEndpointId,
}

/// Deliver events again
///
/// All events after a place or since a time, failed ones included, or only those whose deliveries failed. It is durable: a restart
/// continues it. The endpoint shows `replaying` meanwhile.
#[utoipa::path(
    post, path = "/api/webhook-endpoints/{id}/replay", operation_id = "replayWebhooks", tag = "Webhooks",
    params(("id" = schemas::WebhookEndpointId, Path, description = "The endpoint's id")),
    request_body(
        content = ReplayRequest,
        examples(
            ("after" = (value = json!({"after": "0000000000000042"}))),
            ("since" = (value = json!({"since": "2026-11-21T10:00:00Z"}))),
            ("failed" = (value = json!({"failed": true}))),
        ),
    ),
    responses((status = 202, body = ReplayResponse, description = "The events are sent again."), EndpointErrors),
)]
pub(crate) async fn replay(State(app): AppState, id: PathId, request: Request) -> Result<Response, Problem> {
    let id = endpoint_id(id)?;
    let (head, body) = request.into_parts();
    let replay: ReplayRequest = parse(&read_body(&app, &head.headers, body).await?)?;
    let replayed = app.engine().webhooks().replay(id, replay.read()?).await?;
    replayed.ok_or_else(unknown)?;
    let body = ReplayResponse {
        status: "accepted",
        id,
    };
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

fn endpoint_id(id: PathId) -> Result<WebhookEndpointId, Problem> {
    extract::id(id, "webhook endpoint")
}

fn unknown() -> Problem {
    Problem::not_found("webhook endpoint")
}

async fn shown(app: &App, endpoint: Option<Endpoint>) -> Result<Response, Problem> {
    let endpoint = endpoint.ok_or_else(unknown)?;
    let end = app.engine().events().end().await?;
    let oldest = oldest_after(app, endpoint.cursor, end).await?;
    let view = EndpointView::of(endpoint, Some(lag(app, oldest)), app.engine().now());
    Ok(Json(view).into_response())
}

/// In seconds.
fn lag(app: &App, oldest: Option<Timestamp>) -> f64 {
    oldest.map_or(0.0, |at| app.engine().now().saturating_since(at).as_secs_f64())
}

/// When the oldest event after a place happened; `None` at the end of the log.
async fn oldest_after(app: &App, cursor: EventId, end: EventId) -> Result<Option<Timestamp>, Problem> {
    if cursor >= end {
        return Ok(None);
    }
    let log = app.engine().events();
    let read = match log.read(cursor, 1).await? {
        EventsRead::Expired { start } => log.read(start, 1).await?,
        events => events,
    };
    Ok(match read {
        EventsRead::Events(events) => events.first().map(|event| event.at),
        EventsRead::Expired { .. } => None,
    })
}

fn problem(error: EndpointError) -> Problem {
    match error {
        EndpointError::InvalidUrl(detail) => invalid("/url", detail),
        too_many @ EndpointError::TooMany => Problem::new(Code::TooManyEndpoints, format!("{too_many}.")),
        EndpointError::Store(error) => error.into(),
        not_delivering @ EndpointError::NotDelivering => Problem::bug(&not_delivering),
    }
}
