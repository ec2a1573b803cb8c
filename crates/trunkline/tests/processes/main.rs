//! The whole program: real processes, real sockets, real databases, and signals.
//!
//! `commands` runs the other commands, `story` follows messages through a healthy service and through one
//! that is killed; `faults` breaks the things around it, one at a time, and in the soak all of them. All are one binary,
//! because they share a `world` and a PostgreSQL server. What the providers saw comes from the ledger of the simulators,
//! what is stored from SQL: the API is never checked against itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod commands;
mod faults;
mod lifecycle;
mod story;
mod world;
