use std::{collections::BTreeMap, sync::Arc};

use domain::{Channel, ProviderName};
use thiserror::Error;

use crate::Provider;

/// The registry: which provider serves which channel. At most one does; a channel nobody serves is known as
/// such before a message of it is accepted.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    providers: Vec<Arc<dyn Provider>>,
    by_channel: BTreeMap<Channel, Arc<dyn Provider>>,
}

/// Providers that cannot stand side by side.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RoutesError {
    /// Attempts, metrics and breakers would mix them up.
    #[error("two providers are named \"{name}\": rename or remove one of them")]
    SameName {
        /// The name both have.
        name: ProviderName,
    },
    /// Nobody could tell who gets the messages.
    #[error("the providers \"{first}\" and \"{second}\" both serve {channel}: disable one of them")]
    SameChannel {
        /// The channel both serve.
        channel: Channel,
        /// One of them; of two names the one that sorts first.
        first: ProviderName,
        /// The other.
        second: ProviderName,
    },
}

impl Routes {
    /// Gives every provider its channels.
    ///
    /// # Errors
    /// When two have the same name or serve the same channel; the error names them.
    pub fn new(mut providers: Vec<Arc<dyn Provider>>) -> Result<Self, RoutesError> {
        // Sorted, so that nothing that follows depends on the order in which they were wired up.
        providers.sort_by(|one, other| one.name().cmp(other.name()));
        if let Some(pair) = providers.windows(2).find(|pair| pair[0].name() == pair[1].name()) {
            let name = pair[0].name().clone();
            return Err(RoutesError::SameName { name });
        }
        let mut by_channel: BTreeMap<Channel, Arc<dyn Provider>> = BTreeMap::new();
        for provider in &providers {
            for channel in provider.channels() {
                if let Some(other) = by_channel.insert(*channel, Arc::clone(provider)) {
                    return Err(RoutesError::SameChannel {
                        channel: *channel,
                        first: other.name().clone(),
                        second: provider.name().clone(),
                    });
                }
            }
        }
        Ok(Self {
            providers,
            by_channel,
        })
    }

    /// Who serves a channel; `None` when nobody does.
    #[must_use]
    pub fn serving(&self, channel: Channel) -> Option<&Arc<dyn Provider>> {
        self.by_channel.get(&channel)
    }

    /// All of them, in the order of their names.
    #[must_use]
    pub fn providers(&self) -> &[Arc<dyn Provider>] {
        &self.providers
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::{Call, SendResult};

    /// A provider's name and the channels it claims.
    type Claim = (&'static str, &'static [Channel]);

    #[derive(Debug)]
    struct Fake(ProviderName, &'static [Channel]);

    #[async_trait]
    impl Provider for Fake {
        fn name(&self) -> &ProviderName {
            &self.0
        }

        fn channels(&self) -> &'static [Channel] {
            self.1
        }

        async fn send(&self, _: Call<'_>) -> SendResult {
            SendResult::Success {
                provider_message_id: None,
            }
        }
    }

    fn routes(providers: &[Claim]) -> Result<Routes, RoutesError> {
        let fake = |(name, channels): Claim| -> Arc<dyn Provider> {
            Arc::new(Fake(name.parse().unwrap(), channels))
        };
        Routes::new(providers.iter().copied().map(fake).collect())
    }

    #[test]
    fn each_channel_goes_to_who_serves_it() {
        type Case = (&'static str, &'static [Claim], [Option<&'static str>; 3]);
        let cases: [Case; 4] = [
            ("nobody", &[], [None, None, None]),
            ("one for one", &[("a", &[Channel::Mms])], [None, Some("a"), None]),
            (
                "one for two",
                &[("z", &[Channel::Sms, Channel::Mms]), ("b", &[Channel::Email])],
                [Some("z"), Some("z"), Some("b")],
            ),
            (
                "one for nothing",
                &[("a", &[]), ("b", &[Channel::Sms])],
                [Some("b"), None, None],
            ),
        ];
        for (label, providers, expected) in cases {
            let routes = routes(providers).unwrap();
            let serving = [Channel::Sms, Channel::Mms, Channel::Email]
                .map(|channel| routes.serving(channel).map(|provider| provider.name().as_str()));
            assert_eq!(serving, expected, "{label}");
        }
    }

    #[test]
    fn providers_come_in_the_order_of_their_names() {
        let routes = routes(&[("c", &[]), ("a", &[Channel::Email]), ("b", &[])]).unwrap();
        let names: Vec<_> = routes
            .providers()
            .iter()
            .map(|provider| provider.name().as_str())
            .collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn conflicts_name_both_sides() {
        let cases: [(&[Claim], &str); 3] = [
            (
                &[("b", &[Channel::Sms, Channel::Mms]), ("a", &[Channel::Mms])],
                "the providers \"a\" and \"b\" both serve mms: disable one of them",
            ),
            (
                &[("a", &[Channel::Sms]), ("b", &[]), ("a", &[Channel::Email])],
                "two providers are named \"a\": rename or remove one of them",
            ),
            (
                &[("a", &[Channel::Sms]), ("a", &[Channel::Sms])],
                "two providers are named \"a\": rename or remove one of them",
            ),
        ];
        for (providers, expected) in cases {
            assert_eq!(routes(providers).unwrap_err().to_string(), expected);
        }
    }
}
