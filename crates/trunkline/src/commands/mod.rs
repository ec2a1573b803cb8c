//! One file a command.

pub(crate) mod config;
pub(crate) mod migrate;
pub(crate) mod openapi;
pub(crate) mod serve;

use std::io::{self, ErrorKind, Write};

/// Writes to the standard output. A reader who has seen enough, such as `head`, is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
