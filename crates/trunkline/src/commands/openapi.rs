use clap::Command;

use crate::terminal::print;

pub(crate) fn command() -> Command {
    Command::new("openapi")
        .about("Print the description of the HTTP API (OpenAPI 3.1)")
        .after_help("Examples:\n  trunkline openapi > openapi.json")
}

/// Prints the description of the HTTP API: openapi.json.
pub(crate) fn run() -> anyhow::Result<()> {
    print(server::openapi())
}
