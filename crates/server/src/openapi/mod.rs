//! The description of the API (OpenAPI 3.1). What one route takes and answers stands beside its handler; what routes share
//! stands here.

pub(crate) mod enums;
pub(crate) mod problems;
pub(crate) mod schemas;

mod shapes;
mod shared;

use std::sync::LazyLock;

use serde_json::Value;
use utoipa::OpenApi;

use crate::{router, routes::webhook_endpoints};

/// The description as JSON, with a newline at its end. It is the same for all settings.
#[must_use]
pub fn openapi() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
        let mut document = document();
        shapes::simplify(&mut document);
        shared::add(&mut document);
        format!("{document:#}\n")
    });
    &DOCUMENT
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Trunkline",
        description = include_str!("description.md"),
        version = env!("CARGO_PKG_VERSION"),
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/", description = "The node that serves this document")),
    security(("api_key" = [])),
    tags(
        (name = "Send", description = "Outbound messages."),
        (name = "Cancel", description = "Call messages off that no provider has."),
        (name = "Receive", description = "Inbound messages and receipts from providers."),
        (name = "Read", description = "Conversations, messages and receipts."),
        (name = "Events", description = "What has happened, as a log that is read or followed."),
        (name = "Webhooks", description = "URLs that get events, signed as Standard Webhooks 1.0 defines."),
        (name = "Redrive", description = "Retry failed messages."),
        (name = "Providers", description = "State of the providers."),
        (name = "Simulated providers", description = "Providers that fail on demand. Without a simulated provider these \
            routes answer 404."),
        (name = "Operate", description = "Health, metrics and this description."),
    ),
    // Schemas that only parameters and problems refer to are not collected.
    components(schemas(problems::ProblemDocument, schemas::IdempotencyKey, schemas::PageNumber, schemas::Participant,
        schemas::WaitMs, schemas::WaitCount, schemas::EventTypes, webhook_endpoints::view::WebhookEventView)),
)]
struct Description;

fn document() -> Value {
    let mut description = Description::openapi();
    description.merge(router::documented().into_openapi());
    serde_json::to_value(description).unwrap_or_default()
}
