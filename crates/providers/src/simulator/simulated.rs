use domain::{Channel, ProviderName};
use serde::{Serialize, Serializer};

use super::{email, sms_mms};

/// Which of the simulated providers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Simulated {
    /// The one for text messages, [`SMS_MMS`](super::SMS_MMS).
    SmsMms,
    /// The one for emails, [`EMAIL`](super::EMAIL).
    Email,
}

impl Simulated {
    /// Both, in a fixed order.
    pub const ALL: [Self; 2] = [Self::SmsMms, Self::Email];

    /// The one that serves a channel, whether it is enabled or not.
    #[must_use]
    pub const fn serving(channel: Channel) -> Self {
        match channel {
            Channel::Sms | Channel::Mms => Self::SmsMms,
            Channel::Email => Self::Email,
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|simulated| simulated.as_str() == name)
    }

    /// Its name as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SmsMms => sms_mms::SMS_MMS,
            Self::Email => email::EMAIL,
        }
    }

    /// Its name.
    ///
    /// # Panics
    /// Never: both names have the form of a provider name, and a test says so.
    #[must_use]
    pub fn name(self) -> ProviderName {
        self.as_str()
            .parse()
            .expect("the names of the simulated providers are provider names")
    }

    /// The channels it serves.
    #[must_use]
    pub const fn channels(self) -> &'static [Channel] {
        match self {
            Self::SmsMms => sms_mms::CHANNELS,
            Self::Email => email::CHANNELS,
        }
    }
}

impl Serialize for Simulated {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fixed_and_found() {
        let names = Simulated::ALL.map(|simulated| simulated.name());
        assert_eq!(names.each_ref().map(|name| name.as_str()), ["sms-mms", "email"]);
        for simulated in Simulated::ALL {
            assert_eq!(Simulated::named(simulated.as_str()), Some(simulated));
        }
        assert_eq!(Simulated::named("sms"), None);
    }

    #[test]
    fn every_channel_is_served_by_exactly_one() {
        for channel in Channel::ALL {
            let claiming: Vec<_> = Simulated::ALL
                .into_iter()
                .filter(|simulated| simulated.channels().contains(channel))
                .collect();
            assert_eq!(claiming, [Simulated::serving(*channel)], "{channel}");
        }
    }
}
