//! The program: the service, put together from its settings, and the commands around it.

mod client;
mod commands;
mod config;
mod logging;
mod signals;
mod simulated_receipts;
mod terminal;
mod threads;
mod webhook_caller;

use std::process::ExitCode;

use anyhow::bail;
use clap::{ArgMatches, Command, parser::ValueSource};

use crate::config::{Config, Resolved, SETTINGS, flags};

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
        // These use a running service, which has settings of its own.
        "send" | "conversations" | "listen" | "ready" | "demo" => {
            no_settings(name, arguments)?;
            return match name {
                "send" => commands::send::run(own),
                "conversations" => commands::conversations::run(own),
                "listen" => commands::listen::run(own),
                "ready" => commands::ready::run(own),
                _ => commands::demo::run(own),
            };
        }
        _ => {}
    }
    let mut resolved = settings(&[arguments, own])?;
    if name == "serve" && own.get_flag(commands::serve::TEST_FLAG) {
        resolved = resolved.for_test()?;
    }
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

/// Refuses settings in front of a command that ignores them.
fn no_settings(command: &str, arguments: &ArgMatches) -> anyhow::Result<()> {
    let keys = SETTINGS.iter().map(|setting| setting.key);
    for key in keys.chain([flags::FILE_FLAG]) {
        if arguments.value_source(key) == Some(ValueSource::CommandLine) {
            bail!(
                "`{command}` uses a running service and has no settings of its own: name the service with --url"
            );
        }
    }
    Ok(())
}

fn command() -> Command {
    Command::new("trunkline")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Sends and receives SMS, MMS and email. An acknowledged message is never lost.")
        .after_help(
            "Without a command, this is `trunkline serve` and takes its settings.\n\n\
             Examples:\n  trunkline                                      start on the SQLite file trunkline.db\n  \
             trunkline --database-url postgres://localhost/trunkline\n  \
             trunkline send --from +12016661234 --to +18045551234 --body 'Hello!' --wait\n  \
             trunkline demo                                 watch a demo conversation",
        )
        .args(flags::hidden())
        .subcommands([
            commands::serve::command(),
            commands::migrate::command(),
            commands::import::command(),
            commands::backfill::command(),
            commands::send::command(),
            commands::conversations::command(),
            commands::listen::command(),
            commands::ready::command(),
            commands::demo::command(),
            commands::config::command(),
            commands::openapi::command(),
        ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        for command in command().get_subcommands() {
            let help = command.clone().render_help().to_string();
            let name = command.get_name();
            assert!(help.contains("Examples:\n  "), "{name} shows no examples");
            assert!(
                help.contains(&format!("trunkline {name}")),
                "the examples of {name} show another command"
            );
        }
    }

    #[test]
    fn help_shows_settings_only_where_they_are_used() {
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
        for name in ["send", "conversations", "listen", "ready", "demo"] {
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
