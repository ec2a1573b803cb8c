use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use domain::Entropy;
use futures_util::FutureExt;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App, auth, headers, hosts,
    problem::{Code, Problem},
    query::QueryParameters,
    request_id::take_or_make,
    routes::{conversations, docs, health, messages, metrics, provider_mock, providers, webhooks},
    telemetry,
};

/// The routes, and what goes around each of them.
pub(crate) fn router(app: App) -> Router {
    let mut described = api().merge(operation());
    if app.0.simulators.is_some() {
        described = described.merge(simulated());
    }
    let (routes, description) = described.split_for_parts();
    let queries = Arc::new(QueryParameters::of(&description));
    routes
        // The files of a page, which are no part of the API.
        .route("/docs/{file}", get(docs::file))
        .fallback(async || Problem::not_found("route"))
        .method_not_allowed_fallback(async || {
            let detail = "This route does not take this method: see the Allow header.";
            Problem::new(Code::MethodNotAllowed, detail)
        })
        .layer(from_fn_with_state((app.clone(), queries), around))
        .with_state(app)
}

/// Only the health of the node, and this problem for everything else.
pub(crate) fn health_only(entropy: &Entropy, problem: fn() -> Problem) -> Router {
    let ids = Arc::new(entropy.child("requests without a node"));
    Router::new()
        .route("/healthz", get(health::healthz))
        .fallback(async move || problem())
        .layer(from_fn(move |request: Request, next: Next| {
            let request_id = take_or_make(request.headers(), &ids);
            async move {
                let path = request.uri().path().to_owned();
                telemetry::complete(next.run(request).await, &path, request_id)
            }
        }))
}

/// All there can be, whatever the settings: what the description of the API is made of.
pub(crate) fn documented() -> OpenApiRouter<App> {
    api().merge(simulated()).merge(operation())
}

fn api() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(messages::send::send, messages::read::list))
        .routes(routes!(messages::send::send_sms))
        .routes(routes!(messages::send::send_email))
        .routes(routes!(messages::redrive::redrive_matching))
        .routes(routes!(messages::read::get))
        .routes(routes!(messages::redrive::redrive))
        .routes(routes!(webhooks::sms))
        .routes(routes!(webhooks::email))
        .routes(routes!(conversations::list))
        .routes(routes!(conversations::get))
        .routes(routes!(conversations::messages))
        .routes(routes!(providers::list))
}

/// Only there while a provider is simulated.
fn simulated() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(provider_mock::config, provider_mock::replace))
        .routes(routes!(provider_mock::inbound))
}

/// What is not JSON, or must answer whatever a client accepts.
fn operation() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
        .routes(routes!(docs::description))
        .routes(routes!(docs::page))
}

/// What happens to every request, whatever its route. One layer does it all: for each request, each layer clones what
/// is inside of it, and that what is inside of that.
async fn around(
    State((app, queries)): State<(App, Arc<QueryParameters>)>,
    request: Request,
    next: Next,
) -> Response {
    let answer = async |request: Request| match admit(&app, &queries, &request) {
        Ok(()) => {
            let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
            answer.unwrap_or_else(|_| Problem::internal().into_response())
        }
        Err(problem) => problem.into_response(),
    };
    telemetry::observe(&app, request, answer).await
}

fn admit(app: &App, queries: &QueryParameters, request: &Request) -> Result<(), Problem> {
    headers::check(request)?;
    hosts::check(app, request)?;
    auth::check(app, request)?;
    let route = request.extensions().get::<MatchedPath>();
    if route.is_some_and(|route| heeds_accept(route.as_str())) && !accepts_json(request.headers()) {
        let detail = "Answers are JSON: let Accept include application/json.";
        return Err(Problem::new(Code::NotAcceptable, detail));
    }
    queries.check(request)
}

/// Whether the route refuses clients that do not accept JSON. An inbound message is taken whatever the provider accepts.
pub(crate) fn heeds_accept(path: &str) -> bool {
    let inbound = path.starts_with("/api/webhooks/") || path == "/api/provider/mock/inbound";
    path.starts_with("/api/") && !inbound
}

/// Whether the media ranges of `Accept` cover JSON (RFC 9110, 12.5.1). The most specific one decides; a weight of zero
/// excludes.
fn accepts_json(headers: &HeaderMap) -> bool {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .peekable();
    if ranges.peek().is_none() {
        return true;
    }
    let covering = ranges.filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let specificity = match parts.next()?.to_ascii_lowercase().as_str() {
            "application/json" | "application/problem+json" => 2,
            "application/*" => 1,
            "*/*" => 0,
            _ => return None,
        };
        let excluded = parts.any(|part| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.and_then(|weight| weight.parse::<f32>().ok()) == Some(0.0)
        });
        Some((specificity, !excluded))
    });
    covering.max().is_some_and(|(_, wanted)| wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_accepted_unless_excluded() {
        let accepts = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, value.parse().unwrap());
            accepts_json(&headers)
        };
        for value in [
            "",
            "*/*",
            "application/json",
            "text/html, application/*;q=0.8",
            "Application/JSON",
        ] {
            assert!(accepts(value), "{value}");
        }
        for value in [
            "text/html",
            "image/*",
            "application/json;q=0",
            "application/json;q=0, */*",
            "application/xml",
        ] {
            assert!(!accepts(value), "{value}");
        }
        assert!(accepts_json(&HeaderMap::new()));
    }
}
