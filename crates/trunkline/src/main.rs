//! The program: reads its settings, puts store, providers, engine and server together, and runs them.

mod commands;
mod config;
mod logging;

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{Config, Resolved, SETTINGS};

// See docs/decisions/0006.
const _: () = assert!(
    !mutants::COMPILED_IN,
    "a program with planted bugs must not exist"
);

fn main() -> ExitCode {
    match run(&command().get_matches()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trunkline: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &ArgMatches) -> anyhow::Result<()> {
    if let Some(("config", arguments)) = arguments.subcommand()
        && arguments.get_flag("markdown")
    {
        return commands::config::document();
    }
    let resolved = Resolved::read(arguments)?;
    for unknown in resolved.unknown_variables() {
        eprintln!("trunkline: the environment variable {unknown} is none of ours and does nothing");
    }
    match arguments.subcommand_name() {
        Some("config") => commands::config::run(&resolved),
        Some("migrate") => commands::migrate::run(&Config::new(&resolved)?),
        _ => commands::serve::run(&Config::new(&resolved)?),
    }
}

fn command() -> Command {
    let serve = Command::new("serve").about("Run the service (this is what happens without a command)");
    let migrate = Command::new("migrate").about("Bring the database's schema up to date, and exit");
    let markdown = Arg::new("markdown")
        .long("markdown")
        .action(ArgAction::SetTrue)
        .help("Print docs/configuration.md instead");
    let config = Command::new("config")
        .about("Show the effective settings and where each came from, secrets masked")
        .arg(markdown);
    let file = Arg::new("config-file")
        .long("config")
        .value_name("FILE")
        .global(true)
        .help("Read settings from this TOML file [default: trunkline.toml, if it is there]");
    let settings = SETTINGS.iter().map(|setting| {
        Arg::new(setting.key)
            .long(setting.flag())
            .value_name("VALUE")
            .global(true)
            .help_heading("Settings (also in the environment and the file)")
            .help(format!(
                "{} [{}, default: {}]",
                setting.help,
                setting.variable,
                setting.shown_default()
            ))
    });
    Command::new("trunkline")
        .version(env!("CARGO_PKG_VERSION"))
        .about("One line for every message: sends and receives SMS, MMS and email, and loses none of it")
        .after_help(
            "Examples:\n  trunkline                                      start on the SQLite file trunkline.db\n  \
             trunkline --database-url postgres://localhost/trunkline\n  trunkline migrate --config /etc/trunkline.toml\n  \
             API_PROVIDER_ERROR_PCT=30 trunkline serve      start with providers that fail",
        )
        .subcommands([serve, migrate, config])
        .arg(file)
        .args(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        command().debug_assert();
    }
}
