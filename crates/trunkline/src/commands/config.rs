use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::{
    config::{Config, EXAMPLE, OWN_SETTINGS, Resolved, SETTINGS, Setting, flags},
    terminal::print,
};

pub(crate) fn command() -> Command {
    let markdown = Arg::new("markdown")
        .long("markdown")
        .action(ArgAction::SetTrue)
        .help("Print docs/configuration.md instead");
    Command::new("config")
        .about("Show the effective settings and where each came from, secrets masked")
        .arg(markdown)
        .args(flags::all())
        .after_help(
            "Examples:\n  trunkline config\n  trunkline config --config /etc/trunkline.toml\n  API_BIND=127.0.0.1:9000 trunkline config",
        )
}

/// Shows every setting, its value and where that came from, in the form of the file; then says what is wrong, if
/// something is.
pub(crate) fn run(resolved: &Resolved) -> anyhow::Result<()> {
    let line = |setting: &Setting| {
        let value = shown(setting, resolved.text(setting.key));
        format!(
            "{} = {value:?}  # {}\n",
            setting.key,
            resolved.source(setting.key)
        )
    };
    let lines: String = SETTINGS.iter().map(line).collect();
    let tables = resolved.tables();
    let gap = if tables.is_empty() { "" } else { "\n" };
    print(&format!("{lines}{gap}{tables}"))?;
    Config::new(resolved).map(drop)
}

/// Whether the documentation is asked for: it needs no settings, and none may keep it from being made.
pub(crate) fn wants_document(arguments: &ArgMatches) -> bool {
    arguments.get_flag("markdown")
}

/// Prints docs/configuration.md.
pub(crate) fn document() -> anyhow::Result<()> {
    let row = |setting: &Setting| {
        let (variable, flag, default) = (setting.variable(), setting.flag(), setting.shown_default());
        let Setting {
            key, help, values, ..
        } = setting;
        let values = values();
        format!("| `{variable}` | `{key}` | `--{flag}` | {default} | {values} | {help} |\n")
    };
    let rows: String = SETTINGS.iter().map(row).collect();
    let own = |(key, setting): &(&str, &str)| {
        let variable = Setting::of(setting).map(Setting::variable).unwrap_or_default();
        format!("| `{key}` | `{variable}` |\n")
    };
    let own_rows: String = OWN_SETTINGS.iter().map(own).collect();
    print(&format!(
        "# Configuration\n\n\
         Settings are read from a TOML file (`trunkline.toml` in the working directory, or `--config FILE`), then from the\n\
         environment, then from flags; later ones win. An unknown key in the file or a bad value anywhere stops the start\n\
         with a message that names it. An empty variable counts as unset. `trunkline config` shows each value and where it\n\
         came from. This page is made by `trunkline config --markdown`.\n\n\
         | environment | file | flag | default | values | |\n|---|---|---|---|---|---|\n{rows}\n\
         ## Providers and routes\n\n\
         Only in the file. Without a `[[provider]]` there are two simulators: `sms-mms` for SMS and MMS, and `email`.\n\n\
         ```toml\n{EXAMPLE}```\n\n\
         `[[provider]]` needs `name` (stable: attempts, metrics and dead letters carry it), `kind` (`simulator`) and\n\
         `channels`. These keys replace a setting for one provider, with the same values and the same default:\n\n\
         | key | in the place of |\n|---|---|\n{own_rows}\n\
         `[[route]]` needs `channel` and `providers`; the first provider takes new messages, the others stand by. `from` and\n\
         `to` are patterns in which `*` stands for any run of characters; they are compared with the normalized participant\n\
         (`+12025550123`, `jane@example.com`), so write them without spaces and tags. A message takes the first route, from\n\
         top to bottom, that fits; if its channel has routes and none fits, the send is refused with `no_provider`. A channel\n\
         without routes uses its providers in the order they stand. A redrive takes the first provider of the channel's route;\n\
         if that route depends on `from` or `to`, redrive the message by its id: redriven by a filter, it keeps its provider.\n"
    ))
}

/// A value without what must not be seen: keys, and the password in a database's URL.
fn shown(setting: &Setting, value: &str) -> String {
    if !setting.secret || value.is_empty() {
        return value.to_owned();
    }
    match url::Url::parse(value) {
        Ok(mut url) if setting.key == "database_url" => {
            let masked = url.password().is_none() || url.set_password(Some("***")).is_ok();
            // A password that is not escaped can end up anywhere: in `u:1#a@h` behind the port, in `u:1/a@h` in the path.
            let misplaced = url.fragment().is_some() || url.path().contains('@');
            if masked && url.query().is_none() && !misplaced {
                url.to_string()
            } else {
                "***".to_owned()
            }
        }
        _ => "***".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Inputs for each property.
    const CASES: u32 = 500;
    const SECRET: &str = "hunter2hunter2";

    #[test]
    fn secrets_are_masked() {
        let setting = |key| Setting::of(key).unwrap();
        assert_eq!(shown(setting("keys"), "first-key,second-key"), "***");
        assert_eq!(
            shown(setting("database_url"), "postgres://u:secret@h/d"),
            "postgres://u:***@h/d"
        );
        assert_eq!(
            shown(setting("database_url"), "postgres://h/d?password=secret"),
            "***"
        );
        assert_eq!(
            shown(setting("database_url"), "sqlite:trunkline.db"),
            "sqlite:trunkline.db"
        );
        for unescaped in [
            "postgres://u:1#secret@h/d",
            "postgres://u:1/secret@h/d",
            "postgres://u:p?secret@h/d",
        ] {
            assert_eq!(shown(setting("database_url"), unescaped), "***");
        }
        assert_eq!(shown(setting("drain_secs"), "10"), "10");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

        #[test]
        fn no_part_of_a_password_is_ever_shown(before in "[!-~]{0,6}", after in "[!-~]{0,6}", rest in "(/d)?([?#][a-z]{0,3})?") {
            let database_url = Setting::of("database_url").unwrap();
            let told = shown(database_url, &format!("postgres://user:{before}{SECRET}{after}@host{rest}"));
            prop_assert!(!told.to_lowercase().contains(SECRET), "{told}");
        }
    }
}
