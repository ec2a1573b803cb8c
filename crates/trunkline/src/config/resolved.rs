use std::{collections::BTreeMap, env, fmt, fs, io, path::Path};

use anyhow::{Context, anyhow, bail};
use clap::ArgMatches;

use super::{SETTINGS, Setting, flags::FILE_FLAG};

/// The file that is read when it is there and no other is named.
const DEFAULT_FILE: &str = "trunkline.toml";

/// The value of every setting, as text, and where it came from.
#[derive(Debug)]
pub(crate) struct Resolved {
    values: BTreeMap<&'static str, (String, Origin)>,
    unknown_variables: Vec<String>,
}

/// Where a value came from; later ones win.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File(String),
    Environment,
    Flag,
}

impl Resolved {
    /// Reads the file, the environment and the flags, in this order. Flags may stand before the command and after it;
    /// those after it win.
    pub(crate) fn read(arguments: &[&ArgMatches]) -> anyhow::Result<Self> {
        let flag = |id: &str| {
            let mut given = arguments
                .iter()
                .rev()
                .filter_map(|arguments| arguments.get_one::<String>(id));
            given.next().cloned()
        };
        let file = match flag(FILE_FLAG) {
            Some(path) => {
                let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
                Some((path, text))
            }
            None => default_file()?,
        };
        let variables = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let variables = variables
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect();
        let flags = SETTINGS
            .iter()
            .filter_map(|setting| Some((setting.key, flag(setting.key)?)))
            .collect();
        Self::merge(file, &variables, flags)
    }

    /// The same of what was read: a file with its path, the variables of the environment, and flags by their settings.
    pub(crate) fn merge(
        file: Option<(String, String)>,
        variables: &BTreeMap<String, String>,
        flags: BTreeMap<&'static str, String>,
    ) -> anyhow::Result<Self> {
        let mut values: BTreeMap<&'static str, (String, Origin)> = SETTINGS
            .iter()
            .map(|setting| (setting.key, (setting.default.to_owned(), Origin::Default)))
            .collect();
        if let Some((path, text)) = file {
            for (key, value) in parse_file(&path, &text)? {
                values.insert(key, (value, Origin::File(path.clone())));
            }
        }
        for setting in SETTINGS {
            // An empty variable is an unset one: shells and compose files cannot tell them apart either.
            if let Some(value) = variables.get(setting.variable).filter(|value| !value.is_empty()) {
                values.insert(setting.key, (value.clone(), Origin::Environment));
            }
        }
        values.extend(flags.into_iter().map(|(key, value)| (key, (value, Origin::Flag))));
        let ours = |name: &&String| SETTINGS.iter().any(|setting| setting.variable == name.as_str());
        let unknown_variables = variables
            .keys()
            .filter(|name| name.starts_with("API_") && !ours(name))
            .cloned()
            .collect();
        Ok(Self {
            values,
            unknown_variables,
        })
    }

    /// The value of a setting, as text; empty for nothing.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.values.get(key).map_or("", |(value, _)| value)
    }

    pub(crate) fn origin(&self, key: &str) -> &Origin {
        self.values
            .get(key)
            .map_or(&Origin::Default, |(_, origin)| origin)
    }

    /// Variables that look like ours and are not.
    pub(crate) fn unknown_variables(&self) -> &[String] {
        &self.unknown_variables
    }
}

fn default_file() -> anyhow::Result<Option<(String, String)>> {
    match fs::read_to_string(Path::new(DEFAULT_FILE)) {
        Ok(text) => Ok(Some((DEFAULT_FILE.to_owned(), text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {DEFAULT_FILE}")),
    }
}

fn parse_file(path: &str, text: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
    let table: toml::Table = text.parse().map_err(|error| not_toml(path, text, &error))?;
    table
        .into_iter()
        .map(|(key, value)| {
            let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
                bail!("{path}: there is no setting {key:?}{}", suggestion(&key));
            };
            Ok((setting.key, plain(path, setting, value)?))
        })
        .collect()
}

/// Where a file stops being TOML. The parser would show the line, and the line may hold a key or a password.
fn not_toml(path: &str, text: &str, error: &toml::de::Error) -> anyhow::Error {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    anyhow!("{path} is not valid TOML: line {line}: {}", error.message())
}

/// A TOML value as the text the environment would hold.
fn plain(path: &str, setting: &Setting, value: toml::Value) -> anyhow::Result<String> {
    let key = setting.key;
    match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(flag) => Ok(flag.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            let items = items.with_context(|| format!("{path}: {key}: use a list of strings"))?;
            Ok(items.join(","))
        }
        _ => bail!("{path}: {key}: use a string, a whole number, true or false, or a list of strings"),
    }
}

/// The setting somebody probably meant: one that shares a part of its name.
fn suggestion(key: &str) -> String {
    let shares_part = |setting: &&Setting| {
        key.split(['_', '-', '.'])
            .any(|part| part.len() > 3 && setting.key.contains(&part.to_ascii_lowercase()))
    };
    SETTINGS
        .iter()
        .find(shares_part)
        .map(|setting| format!("; did you mean {}?", setting.key))
        .unwrap_or_default()
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => f.write_str(path),
            Self::Environment => f.write_str("environment"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Option<(String, String)> {
        Some(("t.toml".to_owned(), text.to_owned()))
    }

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn later_sources_win() {
        let environment = variables(&[
            ("API_WORKER_POLL_MS", "20"),
            ("API_DRAIN_SECS", "3"),
            ("API_LOG", ""),
        ]);
        let flags = BTreeMap::from([("drain_secs", "4".to_owned())]);
        let settings = "worker_poll_ms = 10\nworker_batch_size = 7\nkeys = [\"a\", \"b\"]\n";
        let resolved = Resolved::merge(file(settings), &environment, flags).unwrap();
        let found = |key| (resolved.text(key).to_owned(), resolved.origin(key).to_string());
        assert_eq!(found("worker_batch_size"), ("7".into(), "t.toml".into()));
        assert_eq!(found("worker_poll_ms"), ("20".into(), "environment".into()));
        assert_eq!(found("drain_secs"), ("4".into(), "flag".into()));
        assert_eq!(found("log"), ("info".into(), "default".into()));
        assert_eq!(found("keys"), ("a,b".into(), "t.toml".into()));
    }

    #[test]
    fn what_is_unknown_is_named() {
        let error = |text| {
            Resolved::merge(file(text), &BTreeMap::new(), BTreeMap::new())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(error("pool_ms = 1"), "t.toml: there is no setting \"pool_ms\"");
        assert!(error("worker_pol_ms = 1").contains("did you mean worker_"));
        assert!(error("bind = 1.5").contains("bind"));
        assert!(error("keys = [1]").contains("list of strings"));
        assert!(error("not toml").contains("not valid TOML"));
        let forgot_quotes = error("log = \"info\"\ndatabase_url = postgres://u:secret@h/d");
        assert!(
            forgot_quotes.contains("line 2") && !forgot_quotes.contains("secret"),
            "{forgot_quotes}"
        );
        let resolved = Resolved::merge(
            None,
            &variables(&[("API_TYPO", "1"), ("PATH", "/")]),
            BTreeMap::new(),
        )
        .unwrap();
        assert_eq!(resolved.unknown_variables(), ["API_TYPO"]);
    }
}
