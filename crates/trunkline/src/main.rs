//! The program: reads its settings, puts store, providers, engine and server together, and runs them; and the commands
//! around a running service.

mod client;
mod commands;
mod config;
mod logging;
mod signals;
mod terminal;
mod threads;

use std::process::ExitCode;

use anyhow::bail;
use clap::{ArgMatches, Command, parser::ValueSource};

use crate::config::{Config, Resolved, SETTINGS, flags};

// See docs/decisions/0007.
const _: () = assert!(
    !mutants::COMPILED_IN,
    "a program with planted bugs must not exist"
);

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    let Some((name, own)) = arguments.subcommand() else {
        return commands::serve::run(&Config::new(&settings(&[arguments])?)?);
    };
    match name {
        "config" if commands::config::wants_document(own) => return commands::config::document(),
        "openapi" => return commands::openapi::run(),
        // These ask a running server, which has settings of its own.
        "send" | "conversations" | "demo" => {
            no_settings(name, arguments)?;
            return match name {
                "send" => commands::send::run(own),
                "conversations" => commands::conversations::run(own),
                _ => commands::demo::run(own),
            };
        }
        _ => {}
    }
    let resolved = settings(&[arguments, own])?;
    if name == "config" {
        return commands::config::run(&resolved);
    }
    let config = Config::new(&resolved)?;
    match name {
        "migrate" => commands::migrate::run(&config),
        "import" => commands::import::run(&config, own),
        "backfill" => commands::backfill::run(&config, own),
        _ => commands::serve::run(&config),
    }
}

fn settings(arguments: &[&ArgMatches]) -> anyhow::Result<Resolved> {
    let resolved = Resolved::read(arguments)?;
    for unknown in resolved.unknown_variables() {
        eprintln!("trunkline: unknown environment variable {unknown} is ignored");
    }
    Ok(resolved)
}

/// Refuses the flags of settings in front of a command that reads none: they would do nothing.
fn no_settings(command: &str, arguments: &ArgMatches) -> anyhow::Result<()> {
    let keys = SETTINGS.iter().map(|setting| setting.key);
    for key in keys.chain([flags::FILE_FLAG]) {
        if arguments.value_source(key) == Some(ValueSource::CommandLine) {
            bail!(
                "the settings of the service mean nothing to `{command}`, which asks a running one: name it with --url"
            );
        }
    }
    Ok(())
}

fn command() -> Command {
    Command::new("trunkline")
        .version(env!("CARGO_PKG_VERSION"))
        .about("One line for every message: sends and receives SMS, MMS and email, and loses none of it")
        .after_help(
            "Without a command it serves, with the flags of `trunkline serve`.\n\n\
             Examples:\n  trunkline                                      start on the SQLite file trunkline.db\n  \
             trunkline --database-url postgres://localhost/trunkline\n  \
             trunkline send --from +12016661234 --to +18045551234 --body 'Hello!' --wait\n  \
             trunkline demo                                 watch made-up people text and email each other",
        )
        .args(flags::hidden())
        .subcommands([
            commands::serve::command(),
            commands::migrate::command(),
            commands::import::command(),
            commands::backfill::command(),
            commands::send::command(),
            commands::conversations::command(),
            commands::demo::command(),
            commands::config::command(),
            commands::openapi::command(),
        ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        for command in command().get_subcommands() {
            let help = command.clone().render_help().to_string();
            let name = command.get_name();
            assert!(help.contains("Examples:\n  "), "{name} has none");
            assert!(
                help.contains(&format!("trunkline {name}")),
                "those of {name} show something else"
            );
        }
    }

    #[test]
    fn settings_are_shown_where_they_mean_something() {
        let help = |name: &str| {
            let mut command = command();
            let found = command.find_subcommand_mut(name);
            found.map_or_else(|| panic!("no {name}"), |found| found.render_help().to_string())
        };
        assert!(
            !command()
                .render_help()
                .to_string()
                .contains("--database-url VALUE")
        );
        for name in ["serve", "migrate", "import", "backfill", "config"] {
            assert!(help(name).contains("--database-url"), "{name}");
            assert_eq!(
                help(name).contains("--worker-poll-ms"),
                ["serve", "config"].contains(&name),
                "{name}"
            );
        }
        for name in ["send", "conversations", "demo"] {
            assert!(!help(name).contains("--database-url"), "{name}");
            assert!(help(name).contains("--url"), "{name}");
        }
    }

    #[test]
    fn settings_may_stand_before_the_command_and_after_it() {
        for line in [
            &["trunkline", "--drain-secs", "7", "config"][..],
            &["trunkline", "config", "--drain-secs", "7"],
            &["trunkline", "--drain-secs", "6", "config", "--drain-secs", "7"],
            &["trunkline", "--drain-secs", "7"],
        ] {
            let matches = command().try_get_matches_from(line).unwrap();
            let own = matches.subcommand().map(|(_, own)| own);
            let parts: Vec<&ArgMatches> = [Some(&matches), own].into_iter().flatten().collect();
            assert_eq!(
                Resolved::read(&parts).unwrap().text("drain_secs"),
                "7",
                "{line:?}"
            );
        }
        let line = ["trunkline", "--bind", "127.0.0.1:1", "conversations"];
        let error = run(&command().try_get_matches_from(line).unwrap()).unwrap_err();
        assert!(error.to_string().contains("--url"), "{error}");
    }
}
