//! The tests of the routes, by the names of the files they are in.

mod conversations;
mod docs;
mod health;
mod messages;
mod provider_mock;
mod providers;
mod strictness;
mod webhooks;
