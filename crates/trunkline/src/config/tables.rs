//! The tables of the file: `[[provider]]` and `[[route]]`.

use std::{collections::BTreeMap, fmt, str::FromStr};

use anyhow::{anyhow, bail};
use domain::{Channel, ProviderName, Script, likely_meant};
use providers::{Pattern, RouteSettings};
use toml::{Table, Value};

pub(super) const SIMULATOR: &str = "simulator";
/// The kinds of providers.
const KINDS: [&str; 1] = [SIMULATOR];

/// Keys of a provider's table, and the settings that they replace for this provider: same range, same default.
pub(crate) const OWN_SETTINGS: [(&str, &str); 20] = [
    ("concurrency", "worker_concurrency"),
    ("call_timeout_ms", "worker_call_timeout_ms"),
    ("breaker.error_threshold", "breaker_error_threshold"),
    ("breaker.open_secs", "breaker_open_secs"),
    ("breaker.max_open_secs", "breaker_max_open_secs"),
    ("breaker.half_open_samples", "breaker_half_open_samples"),
    ("breaker.half_open_in_flight", "breaker_half_open_in_flight"),
    ("faults.timeout_pct", "provider_timeout_pct"),
    ("faults.error_pct", "provider_error_pct"),
    ("faults.ratelimit_pct", "provider_ratelimit_pct"),
    ("faults.rejected_pct", "provider_rejected_pct"),
    ("faults.timeout_taken_pct", "provider_timeout_taken_pct"),
    ("faults.seed", "provider_seed"),
    ("faults.latency_ms", "provider_latency_ms"),
    ("faults.latency_max_ms", "provider_latency_max_ms"),
    ("faults.retry_after_ms", "provider_retry_after_ms"),
    ("receipts.delivered_pct", "provider_receipts_delivered_pct"),
    ("receipts.undelivered_pct", "provider_receipts_undelivered_pct"),
    ("receipts.delay_ms", "provider_receipts_delay_ms"),
    ("receipts.duplicate_pct", "provider_receipts_duplicate_pct"),
];

/// For the documentation; a test reads it.
pub(crate) const EXAMPLE: &str = r#"[[provider]]
name = "primary"
kind = "simulator"
channels = ["sms", "mms"]
concurrency = 16
breaker = { error_threshold = 3, open_secs = 10 }
faults = { error_pct = 30, seed = 42 }
receipts = { delivered_pct = 90, undelivered_pct = 5, delay_ms = 200 }

[[provider]]
name = "backup"
kind = "simulator"
channels = ["sms", "mms", "email"]

[[route]]
channel = "sms"
from = "+1*"
providers = ["primary", "backup"]

[[route]]
channel = "sms"
providers = ["backup"]
"#;

/// A configured provider.
#[derive(Debug, Clone)]
pub(super) struct ProviderTable {
    pub(super) place: String,
    pub(super) name: ProviderName,
    /// One of `KINDS`.
    pub(super) kind: String,
    pub(super) channels: Vec<Channel>,
    /// The settings that it replaces, by their keys: the key in the table, and the value.
    pub(super) own: BTreeMap<&'static str, (&'static str, String)>,
}

#[derive(Debug, Clone)]
pub(super) struct RouteTable {
    pub(super) place: String,
    pub(super) settings: RouteSettings,
}

/// Takes the tables named `name` out of the file.
pub(super) fn take(file: &mut Table, path: &str, name: &str) -> anyhow::Result<Vec<Keys>> {
    let Some(value) = file.remove(name) else {
        return Ok(Vec::new());
    };
    let Value::Array(tables) = value else {
        bail!("{path}: {name}: write each as a table that begins with [[{name}]]");
    };
    let numbered = tables.into_iter().zip(1..);
    let keys = |(table, number): (Value, u32)| match table {
        Value::Table(table) => {
            let mut keys = Keys {
                place: format!("{path}: [[{name}]] {number}"),
                values: BTreeMap::new(),
            };
            keys.flatten("", table);
            Ok(keys)
        }
        _ => bail!("{path}: {name}: write each as a table that begins with [[{name}]]"),
    };
    numbered.map(keys).collect()
}

/// The values of one table; those of tables in it have keys with dots.
pub(super) struct Keys {
    place: String,
    values: BTreeMap<String, Value>,
}

impl Keys {
    fn flatten(&mut self, prefix: &str, table: Table) {
        for (key, value) in table {
            let key = format!("{prefix}{key}");
            match value {
                Value::Table(inner) => self.flatten(&format!("{key}."), inner),
                value => drop(self.values.insert(key, value)),
            }
        }
    }

    fn invalid(&self, key: &str, detail: impl fmt::Display) -> anyhow::Error {
        anyhow!("{}: {key}: {detail}", self.place)
    }

    fn text(&mut self, key: &str) -> anyhow::Result<Option<String>> {
        match self.values.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(key, "use a string")),
        }
    }

    fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, key: &str) -> anyhow::Result<Option<T>> {
        let text = self.text(key)?;
        let parsed = text.map(|text| text.parse().map_err(|error| self.invalid(key, error)));
        parsed.transpose()
    }

    fn required<T: FromStr<Err: fmt::Display>>(&mut self, key: &str) -> anyhow::Result<T> {
        self.parsed(key)?.ok_or_else(|| self.invalid(key, "is required"))
    }

    /// At least one, each once.
    fn list<T: FromStr<Err: fmt::Display> + PartialEq>(&mut self, key: &str) -> anyhow::Result<Vec<T>> {
        let Some(Value::Array(items)) = self.values.remove(key) else {
            return Err(self.invalid(key, "use a list of strings"));
        };
        let mut list = Vec::new();
        for item in items {
            let text = item
                .as_str()
                .ok_or_else(|| self.invalid(key, "use a list of strings"))?;
            let item = text.parse().map_err(|error| self.invalid(key, error))?;
            if list.contains(&item) {
                return Err(self.invalid(key, format!("{text:?} is listed twice: leave it out once")));
            }
            list.push(item);
        }
        if list.is_empty() {
            Err(self.invalid(key, "list at least one"))
        } else {
            Ok(list)
        }
    }

    /// Refuses what is left.
    fn end(self, known: impl Iterator<Item = &'static str> + Clone) -> anyhow::Result<()> {
        let Some(key) = self.values.keys().next() else {
            return Ok(());
        };
        Err(self.invalid(key, unknown(key, known)))
    }
}

impl ProviderTable {
    pub(super) fn read(mut keys: Keys) -> anyhow::Result<Self> {
        let name: ProviderName = keys.required("name")?;
        if name == Script::provider() {
            let detail = format!("{name} is the provider of scripted recipients: choose another name");
            return Err(keys.invalid("name", detail));
        }
        keys.place = format!("{} {name:?}", keys.place, name = name.as_str());
        let kind: String = keys.required("kind")?;
        if !KINDS.contains(&kind.as_str()) {
            return Err(keys.invalid(
                "kind",
                format!("{kind:?} is unknown: known are {}", KINDS.join(", ")),
            ));
        }
        let channels = keys.list("channels")?;
        let mut own = BTreeMap::new();
        for (key, setting) in OWN_SETTINGS {
            if let Some(value) = keys.values.remove(key) {
                let value = plain(value).map_err(|detail| keys.invalid(key, detail))?;
                own.insert(setting, (key, value));
            }
        }
        let place = keys.place.clone();
        let known = ["name", "kind", "channels"].into_iter();
        keys.end(known.chain(OWN_SETTINGS.iter().map(|(key, _)| *key)))?;
        Ok(Self {
            place,
            name,
            kind,
            channels,
            own,
        })
    }
}

impl RouteTable {
    pub(super) fn read(mut keys: Keys) -> anyhow::Result<Self> {
        let settings = RouteSettings {
            channel: keys.required("channel")?,
            from: keys.parsed::<Pattern>("from")?,
            to: keys.parsed::<Pattern>("to")?,
            providers: keys.list("providers")?,
            failover_after: None,
        };
        let place = keys.place.clone();
        keys.end(["channel", "from", "to", "providers"].into_iter())?;
        Ok(Self { place, settings })
    }
}

/// A TOML value as the text that the environment would hold.
pub(super) fn plain(value: Value) -> Result<String, &'static str> {
    match value {
        Value::String(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Boolean(flag) => Ok(flag.to_string()),
        Value::Array(items) => {
            let items: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            Ok(items.ok_or("use a list of strings")?.join(","))
        }
        _ => Err("use a string, a whole number, true or false, or a list of strings"),
    }
}

/// Says that a key is unknown, and which one it likely means.
pub(super) fn unknown<'a>(key: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match likely_meant(key, known.clone()) {
        Some(likely) => format!("is unknown: did you mean {likely}?"),
        None => format!("is unknown: known are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::Channel::{Email, Mms, Sms};

    use super::*;
    use crate::config::{Config, Resolved};

    fn config(file: &str, variables: &[(&str, &str)]) -> anyhow::Result<Config> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let file = Some(("t.toml".to_owned(), file.to_owned()));
        Config::new(&Resolved::merge(file, &variables.collect(), BTreeMap::new())?)
    }

    #[test]
    fn the_example_gives_providers_lanes_and_routes() {
        let config = config(
            EXAMPLE,
            &[("API_WORKER_CONCURRENCY", "8"), ("API_PROVIDER_LATENCY_MS", "5")],
        )
        .unwrap();
        let [primary, backup] = &config.simulators.instances[..] else {
            panic!("{config:?}")
        };
        assert_eq!(
            (primary.name.as_str(), &primary.channels[..]),
            ("primary", &[Sms, Mms][..])
        );
        assert_eq!(
            (backup.name.as_str(), &backup.channels[..]),
            ("backup", &[Sms, Mms, Email][..])
        );
        let effective = |name| config.simulators.config.effective(name);
        assert_eq!(effective(&backup.name).latency, Duration::from_millis(5));
        assert_eq!(
            (effective(&primary.name).error_pct, effective(&primary.name).seed),
            (30, Some(42))
        );
        assert_eq!(
            (effective(&backup.name).error_pct, effective(&backup.name).seed),
            (0, None)
        );
        let lane = |name| config.engine.dispatch.lane_of(name);
        let (own, default) = (lane(&primary.name), lane(&backup.name));
        assert_eq!((own.concurrency, default.concurrency), (16, 8));
        assert_eq!(
            (own.breaker.error_threshold, default.breaker.error_threshold),
            (3, 5)
        );
        assert_eq!(own.breaker.open, Duration::from_secs(10));
        assert_eq!(
            (own.breaker.max_open, own.call_timeout),
            (default.breaker.max_open, default.call_timeout)
        );
        let [to_both, to_backup] = &config.routes[..] else {
            panic!("{config:?}")
        };
        assert_eq!((to_both.channel, to_both.providers.len()), (Sms, 2));
        assert_eq!((&to_both.from, &to_both.to), (&"+1*".parse().ok(), &None));
        assert_eq!(
            (&to_backup.from, &to_backup.providers),
            (&None, &vec![backup.name.clone()])
        );
    }

    #[test]
    fn each_key_of_a_provider_replaces_its_setting() {
        for (key, setting) in OWN_SETTINGS {
            let own = format!("[[provider]]\nname='a'\nkind='simulator'\nchannels=['sms']\n{key} = 40");
            let shown = |config: Config| {
                let lane = config
                    .engine
                    .dispatch
                    .lane_of(&config.simulators.instances[0].name);
                let (instance, simulated) = (&config.simulators.instances[0], &config.simulators.config);
                let (faults, receipts) = (
                    simulated.effective(&instance.name),
                    simulated.effective_receipts(&instance.name),
                );
                format!("{lane:?} {instance:?} {faults:?} {receipts:?}")
            };
            let plain = "[[provider]]\nname='a'\nkind='simulator'\nchannels=['sms']";
            let by_table = shown(config(&own, &[]).unwrap());
            let by_setting = shown(config(&format!("{setting} = 40\n{plain}"), &[]).unwrap());
            assert_eq!(by_table, by_setting, "{key}");
            assert_ne!(by_table, shown(config(plain, &[]).unwrap()), "{key}");
        }
    }

    #[test]
    fn a_table_that_cannot_stand_is_refused_with_its_place() {
        let a = "[[provider]]\nname='a'\nkind='simulator'\nchannels=['sms']\n";
        let at_a = "t.toml: [[provider]] 1 \"a\": ";
        let with_a = |lines: &str| format!("{a}{lines}");
        let cases = [
            (
                "[provider]\nname='a'".to_owned(),
                "t.toml: provider: write each as a table that begins with [[provider]]",
            ),
            (
                "[[provider]]\nkind='simulator'".to_owned(),
                "t.toml: [[provider]] 1: name: is required",
            ),
            (
                "[[provider]]\nname='A b'".to_owned(),
                "t.toml: [[provider]] 1: name: a provider name has 1 to 32 lower-case letters, digits and '-'",
            ),
            (
                "[[provider]]\nname='a'".to_owned(),
                &*format!("{at_a}kind: is required"),
            ),
            (
                "[[provider]]\nname='scripted'".to_owned(),
                "t.toml: [[provider]] 1: name: scripted is the provider of scripted recipients: choose another name",
            ),
            (
                "[[provider]]\nname='a'\nkind='twilio'".to_owned(),
                &format!("{at_a}kind: \"twilio\" is unknown: known are simulator"),
            ),
            (
                "[[provider]]\nname='a'\nkind='simulator'".to_owned(),
                &format!("{at_a}channels: use a list of strings"),
            ),
            (
                "[[provider]]\nname='a'\nkind='simulator'\nchannels=[]".to_owned(),
                &format!("{at_a}channels: list at least one"),
            ),
            (
                "[[provider]]\nname='a'\nkind='simulator'\nchannels=['fax']".to_owned(),
                &format!("{at_a}channels: use one of: sms, mms, email"),
            ),
            (
                "[[provider]]\nname='a'\nkind='simulator'\nchannels=['sms','sms']".to_owned(),
                &format!("{at_a}channels: \"sms\" is listed twice: leave it out once"),
            ),
            (
                with_a("concurency=3"),
                &format!("{at_a}concurency: is unknown: did you mean concurrency?"),
            ),
            (
                with_a("breaker={open_sec=3}"),
                &format!("{at_a}breaker.open_sec: is unknown: did you mean breaker.open_secs?"),
            ),
            (
                with_a("concurrency=0"),
                &format!("{at_a}concurrency: use a whole number from 1 to 4096"),
            ),
            (
                with_a("concurrency=[1]"),
                &format!("{at_a}concurrency: use a list of strings"),
            ),
            (
                with_a("faults={error_pct=101}"),
                &format!("{at_a}faults.error_pct: use a whole number from 0 to 100"),
            ),
            (
                with_a("call_timeout_ms=30000\n[[route]]"),
                "t.toml: [[route]] 1: channel: is required",
            ),
            (
                format!(
                    "worker_claim_timeout_secs=20\n{}",
                    with_a("call_timeout_ms=20000")
                ),
                &format!(
                    "{at_a}call_timeout_ms: a call may take half of API_WORKER_CLAIM_TIMEOUT_SECS at most: lower this \
                     or raise that"
                ),
            ),
            (
                with_a("faults={error_pct=60,timeout_pct=60}"),
                "API_PROVIDER_…, or the faults and receipts of a [[provider]]: a: timeout_pct, error_pct, ratelimit_pct and \
                 rejected_pct add up to 120 here: lower them to 100 or less together",
            ),
            (
                with_a("faults={latency_ms=20,latency_max_ms=10}"),
                "API_PROVIDER_…, or the faults and receipts of a [[provider]]: a: latency_max_ms: use latency_ms, which is \
                 20 here, or more",
            ),
            (
                with_a(a),
                "t.toml: [[provider]] 2 \"a\": name: another provider has this name: choose another",
            ),
            (
                format!("provider_sms_seed=1\n{a}"),
                "t.toml: provider_sms_seed: has no effect on the providers of [[provider]] tables: set their faults \
                 there",
            ),
            (
                with_a("[[route]]\nchannel='sms'\nproviders=['b']"),
                "t.toml: [[route]] 1: providers: there is no provider b: use one of a",
            ),
            (
                with_a("[[route]]\nchannel='mms'\nproviders=['a']"),
                "t.toml: [[route]] 1: providers: the provider a does not serve mms: add it to the provider's channels, \
                 or leave it out here",
            ),
            (
                with_a("[[route]]\nchannel='sms'\nfrom=''\nproviders=['a']"),
                "t.toml: [[route]] 1: from: use a pattern such as \"+1*\" or \"*@example.com\"",
            ),
            (
                with_a("[[route]]\nchannel='sms'\nproviders=['a']\nfailover_after=2"),
                "t.toml: [[route]] 1: failover_after: is unknown: known are channel, from, to, providers",
            ),
        ];
        for (file, expected) in cases {
            assert_eq!(config(&file, &[]).unwrap_err().to_string(), expected, "{file}");
        }
    }

    #[test]
    fn routes_may_name_the_default_simulators() {
        let route = "[[route]]\nchannel='email'\nto='*@example.com'\nproviders=['email']";
        assert_eq!(config(route, &[]).unwrap().routes.len(), 1);
        config(route, &[("API_PROVIDER_EMAIL_ENABLED", "false")]).unwrap_err();
    }
}
