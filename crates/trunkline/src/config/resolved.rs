use std::{collections::BTreeMap, env, fmt, fs, io, path::Path};

use anyhow::{Context, anyhow, bail};
use clap::ArgMatches;
use domain::likely_meant;

use super::{
    SETTINGS, Setting,
    flags::FILE_FLAG,
    tables::{self, ProviderTable, RouteTable, plain},
    value_types::ValueType,
};

/// Read if it exists and no other file is named.
const DEFAULT_FILE: &str = "trunkline.toml";

/// The value of every setting, as text, and where it came from; and the tables of the file.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    pub(super) values: BTreeMap<&'static str, (String, Source)>,
    pub(super) providers: Vec<ProviderTable>,
    pub(super) routes: Vec<RouteTable>,
    /// The tables as they stand in the file.
    tables: toml::Table,
    unknown_variables: Vec<String>,
    /// See [`Resolved::for_test`].
    pub(super) is_test: bool,
}

/// Where a value came from; later ones win.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Default,
    File(String),
    Environment,
    Flag,
    /// A table in the file, and the key in it.
    Table(String, &'static str),
}

/// What stands in a file.
#[derive(Default)]
struct File {
    values: Vec<(&'static str, String)>,
    providers: Vec<ProviderTable>,
    routes: Vec<RouteTable>,
    tables: toml::Table,
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

    /// The same from what was read: a file with its path, the variables, and the flags by the keys of their settings.
    pub(crate) fn merge(
        file: Option<(String, String)>,
        variables: &BTreeMap<String, String>,
        flags: BTreeMap<&'static str, String>,
    ) -> anyhow::Result<Self> {
        let defaults = SETTINGS
            .iter()
            .map(|setting| (setting.key, (setting.default.to_owned(), Source::Default)));
        let mut values: BTreeMap<_, _> = defaults.collect();
        let mut tables = File::default();
        if let Some((path, text)) = file {
            tables = File::parse(&path, &text)?;
            let given = tables.values.drain(..);
            values.extend(given.map(|(key, value)| (key, (value, Source::File(path.clone())))));
        }
        for setting in SETTINGS {
            // An empty variable counts as unset: shells and compose files do not tell them apart either.
            if let Some(value) = variables
                .get(&setting.variable())
                .filter(|value| !value.is_empty())
            {
                values.insert(setting.key, (value.clone(), Source::Environment));
            }
        }
        values.extend(flags.into_iter().map(|(key, value)| (key, (value, Source::Flag))));
        let is_known = |name: &String| SETTINGS.iter().any(|setting| setting.variable() == *name);
        let unknown = variables
            .keys()
            .filter(|name| name.starts_with("API_") && !is_known(name));
        let File {
            providers,
            routes,
            tables,
            ..
        } = tables;
        Ok(Self {
            values,
            providers,
            routes,
            tables,
            unknown_variables: unknown.cloned().collect(),
            is_test: false,
        })
    }

    /// The settings of one provider: its own in the place of those for all.
    pub(super) fn for_provider(&self, table: &ProviderTable) -> Self {
        let own = table.own.iter().map(|(setting, (key, value))| {
            (*setting, (value.clone(), Source::Table(table.place.clone(), key)))
        });
        let mut resolved = self.clone();
        resolved.values.extend(own);
        resolved
    }

    /// The value of a setting, as text; empty for none.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.values.get(key).map_or("", |(value, _)| value)
    }

    pub(crate) fn source(&self, key: &str) -> &Source {
        self.values
            .get(key)
            .map_or(&Source::Default, |(_, source)| source)
    }

    /// The tables of the file, as TOML.
    pub(crate) fn tables(&self) -> String {
        self.tables.to_string()
    }

    /// Variables that begin with `API_` and name no setting.
    pub(crate) fn unknown_variables(&self) -> &[String] {
        &self.unknown_variables
    }

    pub(super) fn read_as<T>(&self, key: &str, kind: ValueType<T>) -> anyhow::Result<T> {
        (kind.read)(self.text(key)).map_err(|detail| self.invalid(key, detail))
    }

    /// Says what is wrong with a setting, by the name that it has where its value came from.
    pub(super) fn invalid(&self, key: &str, detail: impl fmt::Display) -> anyhow::Error {
        let name = match (self.source(key), Setting::of(key)) {
            (Source::Table(place, key), _) => format!("{place}: {key}"),
            (Source::File(path), _) => format!("{path}: {key}"),
            (Source::Flag, Some(setting)) => format!("--{}", setting.flag()),
            (_, Some(setting)) => setting.variable(),
            (_, None) => key.to_owned(),
        };
        anyhow!("{name}: {detail}")
    }
}

impl File {
    fn parse(path: &str, text: &str) -> anyhow::Result<Self> {
        let mut table: toml::Table = text.parse().map_err(|error| not_toml(path, text, &error))?;
        let is_table = |key: &str| ["provider", "route"].contains(&key);
        let tables = table.iter().filter(|(key, _)| is_table(key));
        let tables = tables.map(|(key, value)| (key.clone(), value.clone())).collect();
        let providers = tables::take(&mut table, path, "provider")?;
        let providers = providers
            .into_iter()
            .map(ProviderTable::read)
            .collect::<Result<Vec<_>, _>>()?;
        for (index, provider) in providers.iter().enumerate() {
            if providers[..index].iter().any(|other| other.name == provider.name) {
                bail!(
                    "{}: name: another provider has this name: choose another",
                    provider.place
                );
            }
        }
        let routes = tables::take(&mut table, path, "route")?;
        let routes = routes
            .into_iter()
            .map(RouteTable::read)
            .collect::<Result<_, _>>()?;
        let value = |(key, value): (String, toml::Value)| {
            let setting = Setting::of(&key).ok_or_else(|| anyhow!("{path}: {}", unknown(&key)))?;
            let value = plain(value).map_err(|detail| anyhow!("{path}: {key}: {detail}"))?;
            Ok((setting.key, value))
        };
        let values = table.into_iter().map(value).collect::<anyhow::Result<_>>()?;
        Ok(Self {
            values,
            providers,
            routes,
            tables,
        })
    }
}

fn default_file() -> anyhow::Result<Option<(String, String)>> {
    match fs::read_to_string(Path::new(DEFAULT_FILE)) {
        Ok(text) => Ok(Some((DEFAULT_FILE.to_owned(), text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {DEFAULT_FILE}")),
    }
}

/// Where a file stops being TOML. The parser would show the line, and the line may hold a key or a password.
fn not_toml(path: &str, text: &str, error: &toml::de::Error) -> anyhow::Error {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    anyhow!("{path} is not valid TOML: line {line}: {}", error.message())
}

fn unknown(key: &str) -> String {
    let tables = ["provider", "route"].into_iter();
    match likely_meant(key, SETTINGS.iter().map(|setting| setting.key).chain(tables)) {
        Some(likely) => format!("there is no setting {key:?}: did you mean {likely}?"),
        None => format!("there is no setting {key:?}: `trunkline config` lists all"),
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => f.write_str(path),
            Self::Environment => f.write_str("environment"),
            Self::Flag => f.write_str("flag"),
            Self::Table(place, key) => write!(f, "{place}: {key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

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
        let found = |key| (resolved.text(key).to_owned(), resolved.source(key).to_string());
        assert_eq!(found("worker_batch_size"), ("7".into(), "t.toml".into()));
        assert_eq!(found("worker_poll_ms"), ("20".into(), "environment".into()));
        assert_eq!(found("drain_secs"), ("4".into(), "flag".into()));
        assert_eq!(found("log"), ("info".into(), "default".into()));
        assert_eq!(found("keys"), ("a,b".into(), "t.toml".into()));
    }

    #[test]
    fn an_unreadable_file_is_refused_with_its_place() {
        let error = |text| {
            let resolved = Resolved::merge(file(text), &BTreeMap::new(), BTreeMap::new());
            resolved.unwrap_err().to_string()
        };
        for (text, expected) in [
            (
                "pool_ms = 1",
                "t.toml: there is no setting \"pool_ms\": `trunkline config` lists all",
            ),
            (
                "worker_pol_ms = 1",
                "t.toml: there is no setting \"worker_pol_ms\": did you mean worker_poll_ms?",
            ),
            (
                "workerPollMs = 1",
                "t.toml: there is no setting \"workerPollMs\": did you mean worker_poll_ms?",
            ),
            (
                "routes = []",
                "t.toml: there is no setting \"routes\": did you mean route?",
            ),
            (
                "bind = 1.5",
                "t.toml: bind: use a string, a whole number, true or false, or a list of strings",
            ),
            ("keys = [1]", "t.toml: keys: use a list of strings"),
        ] {
            assert_eq!(error(text), expected);
        }
        let forgot_quotes = error("log = \"info\"\ndatabase_url = postgres://u:secret@h/d");
        assert!(
            forgot_quotes.starts_with("t.toml is not valid TOML: line 2:"),
            "{forgot_quotes}"
        );
        assert!(!forgot_quotes.contains("secret"), "{forgot_quotes}");
    }

    #[test]
    fn an_unknown_variable_is_found() {
        let variables = variables(&[("API_TYPO", "1"), ("PATH", "/")]);
        let resolved = Resolved::merge(None, &variables, BTreeMap::new()).unwrap();
        assert_eq!(resolved.unknown_variables(), ["API_TYPO"]);
    }

    #[test]
    fn a_bad_value_is_named_as_where_it_came_from() {
        let error = |file, environment, flags| {
            let resolved = Resolved::merge(file, &environment, flags).unwrap();
            Config::new(&resolved).unwrap_err().to_string()
        };
        let refusal = "use a whole number from 0 to 3600";
        assert_eq!(
            error(file("drain_secs = 'x'"), BTreeMap::new(), BTreeMap::new()),
            format!("t.toml: drain_secs: {refusal}")
        );
        assert_eq!(
            error(None, variables(&[("API_DRAIN_SECS", "x")]), BTreeMap::new()),
            format!("API_DRAIN_SECS: {refusal}")
        );
        assert_eq!(
            error(
                None,
                BTreeMap::new(),
                BTreeMap::from([("drain_secs", "x".to_owned())])
            ),
            format!("--drain-secs: {refusal}")
        );
    }
}
