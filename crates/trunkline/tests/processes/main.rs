//! The program as its operator meets it: real processes, real sockets, real databases, and signals.
//!
//! `commands` runs what is there beside the service, `story` follows messages through a healthy service and through one
//! that is killed; `faults` breaks the things around it, one at a time, and in the soak all of them. All are one binary,
//! because they share a `world` and a PostgreSQL server. What the providers saw comes from the ledger of the simulators,
//! what is stored from SQL: the API is never its own witness.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod commands;
mod faults;
mod story;
mod world;
