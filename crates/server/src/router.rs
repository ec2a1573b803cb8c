use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
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
    routes::{
        conversations, docs, events, health, messages, metrics, provider_mock, providers, receipts,
        webhook_endpoints, webhooks,
    },
    telemetry,
};

/// The routes, and the layer around them.
pub(crate) fn router(app: App) -> Router {
    let mut described = api().merge(operation());
    if app.0.simulators.is_some() {
        described = described.merge(simulated());
    }
    let (routes, description) = described.split_for_parts();
    let queries = Arc::new(QueryParameters::of(&description));
    routes
        // Files of a page, not part of the API.
        .route("/docs/{file}", get(docs::file))
        .route("/docs/", get(docs::without_slash))
        .fallback(async |request: Request| Problem::no_such_route(request.uri().path()))
        .method_not_allowed_fallback(async || {
            let detail = "This route does not take this method: use one of those in the Allow header.";
            Problem::new(Code::MethodNotAllowed, detail)
        })
        .layer(from_fn_with_state((app.clone(), queries), around))
        .with_state(app)
}

/// Answers `/healthz`, and everything else with this problem.
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

/// All routes, independent of the settings: the source of the API's description.
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
        .routes(routes!(messages::cancel::cancel))
        .routes(routes!(webhooks::sms))
        .routes(routes!(webhooks::email))
        .routes(routes!(receipts::receive))
        .routes(routes!(receipts::list))
        .routes(routes!(events::list))
        .routes(routes!(events::stream::stream))
        .routes(routes!(webhook_endpoints::list, webhook_endpoints::create))
        .routes(routes!(
            webhook_endpoints::get,
            webhook_endpoints::change,
            webhook_endpoints::delete
        ))
        .routes(routes!(webhook_endpoints::rotate))
        .routes(routes!(webhook_endpoints::test))
        .routes(routes!(webhook_endpoints::deliveries))
        .routes(routes!(webhook_endpoints::replay))
        .routes(routes!(conversations::list))
        .routes(routes!(conversations::get))
        .routes(routes!(conversations::messages))
        .routes(routes!(providers::list))
}

/// These routes exist only while a provider is simulated.
fn simulated() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(
            provider_mock::config::read,
            provider_mock::config::replace
        ))
        .routes(routes!(provider_mock::inbound::inject))
        .routes(routes!(receipts::inject))
}

fn operation() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
        .routes(routes!(docs::description))
        .routes(routes!(docs::page))
}

/// Surrounds every route. It is one layer, because each layer clones all layers inside it for each request.
async fn around(
    State((app, queries)): State<(App, Arc<QueryParameters>)>,
    request: Request,
    next: Next,
) -> Response {
    let answer = async |request: Request| {
        let is_inbound = webhooks::is_inbound(&request);
        let answer = match admit(&app, &queries, &request) {
            Ok(()) => {
                let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
                answer.unwrap_or_else(|_| {
                    tracing::error!(
                        "a route panicked, which is a bug: the client gets 500; stderr has the panic's message"
                    );
                    Problem::internal().into_response()
                })
            }
            Err(problem) => problem.into_response(),
        };
        if is_inbound {
            webhooks::count_refusal(&app, &answer);
        }
        answer
    };
    telemetry::observe(&app, request, answer).await
}

fn admit(app: &App, queries: &QueryParameters, request: &Request) -> Result<(), Problem> {
    headers::check(request)?;
    hosts::check(app, request)?;
    auth::check(app, request)?;
    queries.check(request)
}
