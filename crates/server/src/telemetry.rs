//! For every request: an id, a span, metrics, a log line, and the body of its problem.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use domain::{ConversationId, MessageId};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use tracing::{Instrument, Span, field::Empty};

use crate::{
    App,
    problem::Problem,
    request_id::{REQUEST_ID, take_or_make},
    routes::waiting::is_on_demand,
};

/// Upper ends of the buckets for requests, in seconds. The mission promises 95 % under 0.2.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
];

pub(crate) struct HttpMetrics {
    requests: Family<ByRequest, Counter>,
    seconds: Family<ByRoute, Histogram>,
    pub(crate) event_streams: Gauge,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByRequest {
    route: String,
    method: &'static str,
    status: u32,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByRoute {
    route: String,
}

impl HttpMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            event_streams: Gauge::default(),
        };
        let registry = registry.sub_registry_with_prefix("trunkline");
        registry.register("http_requests", "Requests answered", metrics.requests.clone());
        registry.register_with_unit(
            "http_request",
            "How long requests took to be answered",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        registry.register(
            "event_streams",
            "Open streams of events",
            metrics.event_streams.clone(),
        );
        metrics
    }

    /// Without `took` the request waited because its client asked for it.
    fn observe(&self, route: &str, method: &Method, status: StatusCode, took: Option<Duration>) {
        let (route, status) = (route.to_owned(), u32::from(status.as_u16()));
        if let Some(took) = took {
            self.seconds
                .get_or_create(&ByRoute { route: route.clone() })
                .observe(took.as_secs_f64());
        }
        self.requests
            .get_or_create(&ByRequest {
                route,
                method: method_word(method),
                status,
            })
            .inc();
    }
}

pub(crate) async fn observe(
    app: &App,
    request: Request,
    answer: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let request_id = take_or_make(request.headers(), &app.0.ids);
    // Unknown paths share one label: a client must not be able to create labels.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let began = app.engine().monotonic();
    let span = tracing::info_span!(
        "request",
        request_id,
        %method,
        route,
        message_id = Empty,
        conversation_id = Empty
    );
    let reads = method.is_safe();
    let response = answer(request).instrument(span.clone()).await;
    let took = app.engine().monotonic().saturating_sub(began);
    let took_here = (!is_on_demand(response.extensions())).then_some(took);
    app.0
        .metrics
        .observe(&route, &method, response.status(), took_here);
    span.in_scope(|| {
        let (status, took_ms) = (response.status().as_u16(), took.as_micros() as f64 / 1_000.0);
        // A search for a message starts from its request's id. Reads are too many for a line each.
        if reads {
            tracing::debug!(status, took_ms, "answered");
        } else {
            tracing::info!(status, took_ms, "answered");
        }
    });
    complete(response, &path, request_id)
}

/// Adds the request's id, and the body of a problem, which contains it.
pub(crate) fn complete(mut response: Response, path: &str, request_id: String) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        *response.body_mut() = Body::from(problem.write_body(path, &request_id));
        let problem_json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, problem_json);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    if let Ok(request_id) = HeaderValue::try_from(request_id) {
        response.headers_mut().insert(REQUEST_ID, request_id);
    }
    response
}

/// Adds the message to the request's span, and so to its log lines from now on.
pub(crate) fn record_message(id: MessageId, conversation_id: Option<ConversationId>) {
    let span = Span::current();
    span.record("message_id", tracing::field::display(id));
    if let Some(conversation_id) = conversation_id {
        span.record("conversation_id", tracing::field::display(conversation_id));
    }
}

/// A client must not be able to create labels by inventing methods.
fn method_word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
