//! One file for each command.

pub(crate) mod backfill;
pub(crate) mod config;
pub(crate) mod conversations;
pub(crate) mod demo;
pub(crate) mod import;
pub(crate) mod migrate;
pub(crate) mod openapi;
pub(crate) mod send;
pub(crate) mod serve;
