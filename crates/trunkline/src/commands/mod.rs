//! One file a command.

pub(crate) mod config;
pub(crate) mod migrate;
pub(crate) mod serve;
