use std::sync::Arc;

use domain::{Address, Channel, Content, Participant, ProviderName, Region, Script};
use thiserror::Error;

use crate::{Pattern, Provider};

/// The configured providers, and the routes that choose among them.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    providers: Vec<Arc<dyn Provider>>,
    routes: Vec<Route>,
    scripted: Option<Arc<dyn Provider>>,
}

/// Which providers take the messages of a channel between some participants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route<P = Arc<dyn Provider>> {
    pub channel: Channel,
    /// Which senders; `None` is all.
    pub from: Option<Pattern>,
    /// Which recipients; `None` is all.
    pub to: Option<Pattern>,
    /// The first takes new messages; the others stand by. At least one.
    pub providers: Vec<P>,
    /// Attempts that a provider certainly did not take, after which the next one takes over; `None` is never.
    pub failover_after: Option<u32>,
}

/// A route as it is configured.
pub type RouteSettings = Route<ProviderName>;

/// Two providers have the same name: attempts, metrics and breakers would mix them up.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("two providers are named {0}: rename one of them")]
pub struct SameName(pub ProviderName);

/// A route that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RouteError {
    #[error("name at least one provider")]
    Empty,
    #[error("there is no provider {name}: use one of {known}")]
    Unknown { name: ProviderName, known: String },
    #[error(
        "the provider {name} does not serve {channel}: add it to the provider's channels, or leave it out here"
    )]
    OtherChannel { name: ProviderName, channel: Channel },
}

impl Routes {
    /// One route for each channel: the providers that serve it, in the given order.
    ///
    /// # Errors
    /// When two providers have the same name.
    pub fn new(providers: Vec<Arc<dyn Provider>>) -> Result<Self, SameName> {
        for (index, provider) in providers.iter().enumerate() {
            if providers[..index]
                .iter()
                .any(|other| other.name() == provider.name())
            {
                return Err(SameName(provider.name().clone()));
            }
        }
        let route = |channel: &Channel| Route {
            channel: *channel,
            from: None,
            to: None,
            providers: providers
                .iter()
                .filter(|provider| provider.channels().contains(channel))
                .cloned()
                .collect(),
            failover_after: None,
        };
        let routes = Channel::ALL.iter().map(route);
        let routes = routes.filter(|route| !route.providers.is_empty()).collect();
        Ok(Self {
            providers,
            routes,
            scripted: None,
        })
    }

    /// Puts the configured routes in the place of those of their channels; a channel without any keeps its own.
    ///
    /// # Errors
    /// When a route fails [`RouteSettings::check`].
    pub fn with(mut self, settings: Vec<RouteSettings>) -> Result<Self, RouteError> {
        let providers = self.providers.iter();
        let known = providers.map(|provider| (provider.name(), provider.channels()));
        for route in &settings {
            route.check(known.clone())?;
        }
        self.routes.retain(|route| {
            settings
                .iter()
                .all(|configured| configured.channel != route.channel)
        });
        let named = |name: &ProviderName| {
            self.providers
                .iter()
                .find(|provider| provider.name() == name)
                .cloned()
        };
        self.routes.extend(settings.into_iter().map(|route| Route {
            channel: route.channel,
            from: route.from,
            to: route.to,
            providers: route.providers.iter().filter_map(named).collect(),
            failover_after: route.failover_after,
        }));
        Ok(self)
    }

    /// Sends the messages to scripted recipients to this provider, which is on no route.
    #[must_use]
    pub fn with_scripted(self, provider: Arc<dyn Provider>) -> Self {
        Self {
            scripted: Some(provider),
            ..self
        }
    }

    /// The provider of the messages to scripted recipients.
    #[must_use]
    pub fn scripted(&self) -> Option<&Arc<dyn Provider>> {
        self.scripted.as_ref()
    }

    /// The provider that plays the script of a recipient, instead of those on any route. `None` for an ordinary recipient.
    #[must_use]
    pub fn scripted_for(&self, to: &Participant) -> Option<&Arc<dyn Provider>> {
        self.scripted.as_ref().filter(|_| Script::of(to).is_some())
    }

    /// The first route that a message fits; `None` when no provider takes it.
    #[must_use]
    pub fn choose(&self, channel: Channel, from: &Participant, to: &Participant) -> Option<&Route> {
        let fits = |pattern: &Option<Pattern>, participant: &Participant| {
            pattern
                .as_ref()
                .is_none_or(|pattern| pattern.matches(participant.as_str()))
        };
        let mut routes = self.routes.iter();
        routes.find(|route| route.channel == channel && fits(&route.from, from) && fits(&route.to, to))
    }

    /// The route of a stored message, whose addresses are read as when it was accepted. `None` if no provider takes it.
    #[must_use]
    pub fn of_content(&self, content: &Content, region: Option<Region>) -> Option<&Route> {
        let from = Address::sender(content.channel, content.from.as_str(), region).ok()?;
        let to = Address::recipient(content.channel, content.to.as_str(), region).ok()?;
        self.choose(content.channel, &from.participant, &to.participant)
    }

    /// The route of all messages of a channel; `None` if it depends on the participants.
    #[must_use]
    pub fn of_all(&self, channel: Channel) -> Option<&Route> {
        let first = self.routes.iter().find(|route| route.channel == channel);
        first.filter(|route| route.from.is_none() && route.to.is_none())
    }

    /// The first provider, in the order of configuration, that serves a channel. Inbound messages without a provider's name
    /// count as its own.
    #[must_use]
    pub fn serving(&self, channel: Channel) -> Option<&Arc<dyn Provider>> {
        self.providers
            .iter()
            .find(|provider| provider.channels().contains(&channel))
    }

    /// The configured ones, in their order.
    #[must_use]
    pub fn providers(&self) -> &[Arc<dyn Provider>] {
        &self.providers
    }
}

impl Route {
    /// The provider that takes new messages.
    #[must_use]
    pub fn first(&self) -> &Arc<dyn Provider> {
        &self.providers[0]
    }
}

impl RouteSettings {
    /// Whether these providers, by name and channels, can serve the route.
    ///
    /// # Errors
    /// The first thing that is wrong, with what to do about it.
    pub fn check<'a>(
        &self,
        known: impl Iterator<Item = (&'a ProviderName, &'a [Channel])> + Clone,
    ) -> Result<(), RouteError> {
        if self.providers.is_empty() {
            return Err(RouteError::Empty);
        }
        for name in &self.providers {
            let Some((_, channels)) = known.clone().find(|(other, _)| *other == name) else {
                let known: Vec<_> = known.map(|(name, _)| name.as_str()).collect();
                return Err(RouteError::Unknown {
                    name: name.clone(),
                    known: known.join(", "),
                });
            };
            if !channels.contains(&self.channel) {
                return Err(RouteError::OtherChannel {
                    name: name.clone(),
                    channel: self.channel,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use domain::Channel::{Email, Mms, Sms};

    use super::*;
    use crate::{Call, SendResult};

    #[derive(Debug)]
    struct Fake(ProviderName, &'static [Channel]);

    #[async_trait]
    impl Provider for Fake {
        fn name(&self) -> &ProviderName {
            &self.0
        }

        fn channels(&self) -> &[Channel] {
            self.1
        }

        async fn send(&self, _: Call<'_>) -> SendResult {
            SendResult::Timeout
        }
    }

    fn routes(providers: &[(&str, &'static [Channel])]) -> Result<Routes, SameName> {
        let fake = |(name, channels): &(&str, &'static [Channel])| -> Arc<dyn Provider> {
            Arc::new(Fake(name.parse().unwrap(), channels))
        };
        Routes::new(providers.iter().map(fake).collect())
    }

    fn route(channel: Channel, [from, to]: [&str; 2], providers: &[&str]) -> RouteSettings {
        let pattern = |text: &str| (text != "any").then(|| text.parse().unwrap());
        RouteSettings {
            channel,
            from: pattern(from),
            to: pattern(to),
            providers: providers.iter().map(|name| name.parse().unwrap()).collect(),
            failover_after: None,
        }
    }

    fn chosen<'a>(routes: &'a Routes, channel: Channel, from: &str, to: &str) -> Vec<&'a str> {
        let route = routes.choose(
            channel,
            &Participant::from_stored(from),
            &Participant::from_stored(to),
        );
        let providers = route.map_or(&[][..], |route| &route.providers);
        providers
            .iter()
            .map(|provider| provider.name().as_str())
            .collect()
    }

    const ANY: [&str; 2] = ["any", "any"];

    #[test]
    fn without_routes_a_channel_has_its_providers_in_the_order_they_stand() {
        let routes = routes(&[("z", &[Sms, Mms]), ("idle", &[]), ("a", &[Mms])]).unwrap();
        assert_eq!(chosen(&routes, Sms, "1", "2"), ["z"]);
        assert_eq!(chosen(&routes, Mms, "1", "2"), ["z", "a"]);
        assert!(chosen(&routes, Email, "a@b", "c@d").is_empty());
        let serving = |channel| routes.serving(channel).map(|provider| provider.name().as_str());
        assert_eq!([Sms, Mms, Email].map(serving), [Some("z"), Some("z"), None]);
    }

    #[test]
    fn the_first_route_that_fits_wins_and_other_channels_keep_their_own() {
        let routes = routes(&[("us", &[Sms, Mms]), ("world", &[Sms, Mms])]).unwrap();
        let routes = routes
            .with(vec![
                route(Sms, ["+1*", "+1*"], &["us", "world"]),
                route(Sms, ["any", "+44*"], &["world"]),
            ])
            .unwrap();
        for (from, to, expected) in [
            ("+1202", "+1303", &["us", "world"][..]),
            ("+1202", "+4420", &["world"]),
            ("+1202", "+4930", &[]),
            ("4202", "+1303", &[]),
        ] {
            assert_eq!(chosen(&routes, Sms, from, to), expected, "{from} {to}");
            assert_eq!(chosen(&routes, Mms, from, to), ["us", "world"], "{from} {to}");
        }
        let of_all = |channel| routes.of_all(channel).map(|route| route.first().name().as_str());
        assert_eq!([Sms, Mms, Email].map(of_all), [None, Some("us"), None]);
    }

    #[test]
    fn a_route_that_cannot_be_followed_is_refused_with_the_names() {
        assert_eq!(
            routes(&[("a", &[Sms]), ("b", &[]), ("a", &[Email])])
                .unwrap_err()
                .to_string(),
            "two providers are named a: rename one of them"
        );
        for (providers, expected) in [
            (&[][..], "name at least one provider"),
            (&["a", "c"], "there is no provider c: use one of a, b"),
            (
                &["a", "b"],
                "the provider b does not serve sms: add it to the provider's channels, or leave it out here",
            ),
        ] {
            let routes = routes(&[("a", &[Sms]), ("b", &[Mms])]).unwrap();
            let error = routes.with(vec![route(Sms, ANY, providers)]).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
