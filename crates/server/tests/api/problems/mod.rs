//! Errors that no single route owns. The shape of a problem document is checked by the client, for every answer.

mod access;
mod bodies;
pub mod codes;
mod documents;
mod store;
