//! What must hold of any settings. Also a part of the fuzz targets (docs/fuzzing.md), which have no test framework.

use std::collections::BTreeMap;

use crate::config::{Config, Resolved, SETTINGS, Setting, is_in_memory};

/// Stands for a key or a password in made-up settings.
pub(crate) const SECRET: &str = "hunter2hunter2";
/// The path of made-up files.
const PATH: &str = "t.toml";

/// The least and the most that a whole number may be.
pub(crate) fn range(setting: &Setting) -> Option<(u64, u64)> {
    let values = (setting.values)();
    let (least, most) = values.split_once(" to ")?;
    Some((least.parse().ok()?, most.parse().ok()?))
}

/// Any file, any environment and any flags: settings that fit, or an error that names what does not.
pub(crate) fn of_sources(
    file: Option<&str>,
    variables: &BTreeMap<String, String>,
    flags: &BTreeMap<&'static str, String>,
) {
    let read = file.map(|text| (PATH.to_owned(), text.to_owned()));
    match Resolved::merge(read, variables, flags.clone()) {
        Ok(resolved) => {
            later_sources_win(&resolved, variables, flags);
            fit(&resolved);
        }
        Err(error) => {
            let told = format!("{error:#}");
            assert!(file.is_some() && told.starts_with(PATH), "{told}");
            let unknown = told.contains("there is no setting");
            let table = ["[[provider]]", "[[route]]"]
                .iter()
                .any(|table| told.contains(table));
            let named = SETTINGS.iter().any(|setting| told.contains(setting.key));
            assert!(
                unknown || table || named || told.contains("is not valid TOML"),
                "{told}"
            );
            // The unknown key is shown. Tables hold no secrets.
            assert!(unknown || table || !told.contains(SECRET), "{told}");
        }
    }
}

fn later_sources_win(
    resolved: &Resolved,
    variables: &BTreeMap<String, String>,
    flags: &BTreeMap<&'static str, String>,
) {
    for setting in SETTINGS {
        let variable = variables
            .get(&setting.variable())
            .filter(|value| !value.is_empty());
        let (text, source) = (
            resolved.text(setting.key),
            resolved.source(setting.key).to_string(),
        );
        let (expected, from) = match (flags.get(setting.key), variable) {
            (Some(flag), _) => (flag.as_str(), "flag"),
            (None, Some(variable)) => (variable.as_str(), "environment"),
            (None, None) if source == PATH => continue,
            (None, None) => (setting.default, "default"),
        };
        assert_eq!((text, source.as_str()), (expected, from), "{}", setting.key);
    }
}

fn fit(resolved: &Resolved) {
    if let Ok(test) = resolved.clone().for_test()
        && let Ok(config) = Config::new(&test)
    {
        let closed = config.bind.ip().is_loopback() || config.server.api_keys.is_some();
        assert!(closed || is_in_memory(&config.database_url));
    }
    match Config::new(resolved) {
        Ok(config) => {
            for setting in SETTINGS {
                let text = resolved.text(setting.key);
                let fits = range(setting).is_none_or(|(least, most)| {
                    let number = text.parse::<u64>();
                    number.is_ok_and(|number| (least..=most).contains(&number))
                });
                assert!(fits || text == setting.default, "{} = {text:?}", setting.key);
            }
            assert!(config.bind.ip().is_loopback() || config.server.api_keys.is_some());
            assert!(config.server.allowed_hosts.is_some() || config.server.api_keys.is_some());
            let dispatch = &config.engine.dispatch;
            for lane in dispatch.lanes.values().chain([&dispatch.lane]) {
                assert!(lane.call_timeout * 2 <= dispatch.lease);
                assert!(lane.breaker.open <= lane.breaker.max_open);
            }
            assert!(config.simulators.check().is_ok());
        }
        Err(error) => {
            let told = format!("{error:#}");
            let names = |setting: &Setting| [setting.variable(), format!("--{}", setting.flag())];
            let table = ["[[provider]]", "[[route]]"]
                .iter()
                .any(|table| told.contains(table));
            let named = SETTINGS.iter().flat_map(names).any(|name| told.contains(&name));
            assert!(
                named || table || told.starts_with(PATH),
                "no setting is named: {told}"
            );
            // A network or a host that is none is shown: it is no secret.
            let shown = ["trusted_proxies", "allowed_hosts"].iter();
            let shown = shown
                .map(|key| resolved.text(key))
                .any(|text| text.contains(SECRET));
            assert!(shown || table || !told.contains(SECRET), "{told}");
        }
    }
}
