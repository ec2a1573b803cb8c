//! HTTP: requests become use cases of the engine or reads of the store, and their results become JSON.
//!
//! Outside input is checked here and nowhere later. [`Server`] bounds sockets, headers and time; the routes bound bodies,
//! JSON and rates; the engine bounds the queue behind them.

mod answers;
mod auth;
mod client;
mod connections;
mod extract;
mod extracted;
mod headers;
mod hosts;
mod json;
pub mod lenient;
mod openapi;
mod problem;
mod process_metrics;
mod query;
mod request_id;
mod router;
mod routes;
mod settings;
mod telemetry;

use std::{fmt, sync::Arc};

use axum::http::HeaderValue;
use domain::Entropy;
use engine::Engine;
use providers::simulator::Simulators;
use tokio::sync::watch;

pub use auth::ApiKeys;
pub use connections::{ConnectionSettings, ServeError, Server};
pub use hosts::AllowedHosts;
pub use openapi::openapi;
pub use routes::webhook_endpoints::view::WebhookBodies;
pub use settings::ServerSettings;

use answers::Answers;
use problem::Code;
use routes::waiting::WaitPlaces;
use telemetry::HttpMetrics;

/// The state of all routes.
#[derive(Clone)]
pub struct App(Arc<Parts>);

struct Parts {
    engine: Arc<Engine>,
    simulators: Option<Arc<Simulators>>,
    settings: ServerSettings,
    metrics: HttpMetrics,
    answers: Answers,
    waits: WaitPlaces,
    /// The same in each answer of a send route.
    rate_limit_policy: Option<HeaderValue>,
    ids: Entropy,
    draining: watch::Receiver<bool>,
}

impl App {
    /// Without `simulators`, their routes do not exist. Once `draining` is true, `/readyz` answers 503.
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        simulators: Option<Arc<Simulators>>,
        settings: ServerSettings,
        entropy: &Entropy,
        draining: watch::Receiver<bool>,
    ) -> Self {
        let metrics = engine.metrics().register_with(|registry| {
            process_metrics::register(registry);
            HttpMetrics::register(registry)
        });
        engine
            .metrics()
            .declare_inbound_rejections(&routes::webhooks::REJECTIONS.map(Code::as_str));
        let rate_limit_policy = routes::messages::send::policy(engine.limits().quotas());
        let ids = entropy.child("requests");
        Self(Arc::new(Parts {
            engine,
            simulators,
            settings,
            metrics,
            answers: Answers::default(),
            waits: WaitPlaces::default(),
            rate_limit_policy,
            ids,
            draining,
        }))
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.0.engine
    }

    fn settings(&self) -> &ServerSettings {
        &self.0.settings
    }

    fn answers(&self) -> &Answers {
        &self.0.answers
    }

    fn waits(&self) -> &WaitPlaces {
        &self.0.waits
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("App")
    }
}
