use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App, auth, headers,
    problem::{Code, Problem},
    routes::{conversations, docs, messages, operate, provider_mock, providers, webhooks},
    telemetry,
};

/// The routes, and what goes around them: the last layer is the first to see a request.
pub(crate) fn router(app: App) -> Router {
    let mut api = api();
    if app.0.simulators.is_some() {
        api = api.merge(simulated());
    }
    Router::from(api)
        .route_layer(from_fn(acceptable))
        .merge(Router::from(operation()))
        // The files of a page, which are no part of the API.
        .route("/docs/{file}", get(docs::file))
        .fallback(async || Problem::not_found("route"))
        .method_not_allowed_fallback(async || {
            let detail = "This route does not take this method: see the Allow header.";
            Problem::new(Code::MethodNotAllowed, detail)
        })
        .layer(from_fn_with_state(app.clone(), admit))
        .layer(CatchPanicLayer::custom(|_| Problem::internal().into_response()))
        .layer(from_fn_with_state(app.clone(), telemetry::observe))
        .with_state(app)
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
        .routes(routes!(operate::healthz))
        .routes(routes!(operate::readyz))
        .routes(routes!(operate::metrics))
        .routes(routes!(docs::description))
        .routes(routes!(docs::page))
}

/// What is checked of every request before its route sees it.
async fn admit(State(app): State<App>, request: Request, next: Next) -> Response {
    let admitted = headers::check(&request).and_then(|()| auth::check(&app, &request));
    match admitted {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Turns away clients that want anything but JSON.
async fn acceptable(request: Request, next: Next) -> Response {
    if accepts_json(request.headers()) {
        return next.run(request).await;
    }
    let detail = "Answers are JSON: let Accept include application/json.";
    Problem::new(Code::NotAcceptable, detail).into_response()
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
