//! The routes. Files are named as the URLs.

pub(crate) mod conversations;
pub(crate) mod docs;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod messages;
pub(crate) mod metrics;
pub(crate) mod provider_mock;
pub(crate) mod providers;
pub(crate) mod receipts;
pub(crate) mod webhook_endpoints;
pub(crate) mod webhooks;

mod accepted;
mod listing;
mod message_body;
pub(crate) mod waiting;
