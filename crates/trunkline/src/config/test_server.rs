//! What `serve --test` changes: the values of settings that are given nowhere. Providers must be simulated.

use anyhow::bail;

use super::{Resolved, resolved::Source, tables::SIMULATOR};

/// Values for settings that neither the file, the environment nor a flag gives.
const PRESETS: [(&str, &str); 7] = [
    ("database_url", "sqlite::memory:"),
    // Port 0: test runs side by side do not collide.
    ("bind", "127.0.0.1:0"),
    ("rate_limit_per_ip_per_min", "0"),
    ("rate_limit_per_sender_per_min", "0"),
    ("rate_limit_webhook_per_ip_per_min", "0"),
    // No balancer needs to notice the end, and the results of calls under way end with the process.
    ("lame_duck_secs", "0"),
    ("drain_secs", "1"),
];

impl Resolved {
    /// The settings of a test server.
    ///
    /// # Errors
    /// When a provider is not simulated.
    pub(crate) fn for_test(mut self) -> anyhow::Result<Self> {
        if let Some(real) = self.providers.iter().find(|provider| provider.kind != SIMULATOR) {
            bail!(
                "{}: kind: `serve --test` refuses {:?}, so that no test message reaches a real recipient: use \
                 {SIMULATOR:?}, or name another file with --config",
                real.place,
                real.kind
            );
        }
        for (key, value) in PRESETS {
            if *self.source(key) == Source::Default {
                self.values.insert(key, (value.to_owned(), Source::Default));
            }
        }
        self.is_test = true;
        Ok(self)
    }
}

/// Whether messages end with the process.
pub(crate) fn is_in_memory(database_url: &str) -> bool {
    matches!(database_url.trim(), "sqlite::memory:" | "sqlite://:memory:")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::config::Config;

    fn resolved(file: &str, variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Resolved {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let flags = flags.iter().map(|(key, value)| (*key, (*value).to_owned()));
        let file = Some(("t.toml".to_owned(), file.to_owned()));
        Resolved::merge(file, &variables.collect(), flags.collect::<BTreeMap<_, _>>()).unwrap()
    }

    fn config(variables: &[(&str, &str)]) -> anyhow::Result<Config> {
        Config::new(&resolved("", variables, &[]).for_test()?)
    }

    #[test]
    fn a_test_server_keeps_nothing_limits_nothing_and_ends_quickly() {
        let config = config(&[]).unwrap();
        assert_eq!(config.database_url, "sqlite::memory:");
        assert_eq!(config.bind.to_string(), "127.0.0.1:0");
        let limits = config.engine.limits;
        assert_eq!(
            format!("{limits:?}"),
            format!("{:?}", engine::LimitSettings::per_minute(0, 0, 0))
        );
        assert_eq!(
            (config.lame_duck, config.drain),
            (Duration::ZERO, Duration::from_secs(1))
        );
    }

    #[test]
    fn given_settings_win_over_those_of_a_test_server() {
        let file = "rate_limit_per_sender_per_min = 60\n";
        let variables = [("DATABASE_URL", "sqlite:kept.db"), ("API_LAME_DUCK_SECS", "3")];
        let resolved = resolved(file, &variables, &[("bind", "127.0.0.1:8080")]);
        let resolved = resolved.for_test().unwrap();
        for (key, value) in [
            ("rate_limit_per_sender_per_min", "60"),
            ("database_url", "sqlite:kept.db"),
            ("lame_duck_secs", "3"),
            ("bind", "127.0.0.1:8080"),
            ("rate_limit_per_ip_per_min", "0"),
        ] {
            assert_eq!(resolved.text(key), value, "{key}");
        }
    }

    #[test]
    fn only_a_test_server_in_memory_is_open_to_a_network_without_keys() {
        let everywhere = ("API_BIND", "0.0.0.0:0");
        let open = config(&[everywhere]).unwrap();
        assert!(open.server.allowed_hosts.is_none() && open.server.api_keys.is_none());
        let named = config(&[everywhere, ("API_ALLOWED_HOSTS", "trunkline")]).unwrap();
        assert!(named.server.allowed_hosts.is_some());
        assert!(config(&[]).unwrap().server.allowed_hosts.is_some());

        let lasting = config(&[everywhere, ("DATABASE_URL", "sqlite:kept.db")]).unwrap_err();
        assert!(lasting.to_string().starts_with("API_BIND: "), "{lasting}");
        let memory = ("DATABASE_URL", "sqlite::memory:");
        Config::new(&resolved("", &[everywhere, memory], &[])).unwrap_err();
    }

    #[test]
    fn a_provider_that_is_not_simulated_is_refused() {
        let mut resolved = resolved(
            "[[provider]]\nname = 'a'\nkind = 'simulator'\nchannels = ['sms']",
            &[],
            &[],
        );
        resolved.clone().for_test().unwrap();
        resolved.providers[0].kind = "twilio".to_owned();
        let error = resolved.for_test().unwrap_err().to_string();
        let expected = "t.toml: [[provider]] 1 \"a\": kind: `serve --test` refuses \"twilio\"";
        assert!(error.starts_with(expected), "{error}");
    }
}
