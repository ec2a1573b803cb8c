//! The tests of the routes, by the names of the files they are in.

mod conversations;
mod docs;
mod events;
mod health;
mod messages;
mod provider_mock;
mod providers;
mod receipts;
mod strictness;
mod webhook_endpoints;
mod webhooks;
