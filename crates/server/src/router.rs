use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{App, auth, problem::Problem, routes, telemetry};

/// Every route, and what goes around them: the last layer is the first to see a request.
pub(crate) fn router(app: App) -> Router {
    let mut router = Router::new()
        .route(
            "/api/messages",
            post(routes::messages::send).get(routes::messages::list),
        )
        .route("/api/messages/sms", post(routes::messages::send_sms))
        .route("/api/messages/email", post(routes::messages::send_email))
        .route("/api/messages/redrive", post(routes::messages::redrive_matching))
        .route("/api/messages/{id}", get(routes::messages::get))
        .route("/api/messages/{id}/redrive", post(routes::messages::redrive))
        .route("/api/webhooks/sms", post(routes::webhooks::sms))
        .route("/api/webhooks/email", post(routes::webhooks::email))
        .route("/api/conversations", get(routes::conversations::list))
        .route("/api/conversations/{id}", get(routes::conversations::get))
        .route(
            "/api/conversations/{id}/messages",
            get(routes::conversations::messages),
        )
        .route("/api/providers", get(routes::providers::list));
    if app.0.simulators.is_some() {
        router = router
            .route(
                "/api/provider/mock/config",
                get(routes::provider_mock::config).put(routes::provider_mock::replace),
            )
            .route("/api/provider/mock/inbound", post(routes::provider_mock::inbound));
    }
    router
        .route_layer(from_fn(acceptable))
        .route("/healthz", get(routes::operate::healthz))
        .route("/readyz", get(routes::operate::readyz))
        .route("/metrics", get(routes::operate::metrics))
        .fallback(async || Problem::not_found("route"))
        .method_not_allowed_fallback(async || {
            let detail = "This route does not take this method: see the Allow header.";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        })
        .layer(from_fn_with_state(app.clone(), auth::check))
        .layer(CatchPanicLayer::custom(|_| Problem::internal().into_response()))
        .layer(from_fn_with_state(app.clone(), telemetry::observe))
        .with_state(app)
}

/// Turns away clients that want anything but JSON.
async fn acceptable(request: Request, next: Next) -> Response {
    if accepts_json(request.headers()) {
        return next.run(request).await;
    }
    let detail = "Answers are JSON: let Accept include application/json.";
    Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", detail).into_response()
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
