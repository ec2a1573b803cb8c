use std::collections::BTreeMap;

use domain::{Channel, ConversationChannel};
use fake::Fake;
use rand_pcg::{Pcg64, rand_core::SeedableRng};
use serde_json::{Value, json};

use super::people::{Contact, ours, subject, theirs};

/// The shop's senders. Several numbers, because every sender has a limit.
const OUR_PHONES: [&str; 2] = ["+13125550100", "+13125550101"];
const OUR_EMAIL: &str = "hello@shop.example";

/// Who sends what to whom. It follows from the seed alone.
pub(super) struct Script {
    random: Pcg64,
    contacts: Vec<Contact>,
    terms: Terms,
    /// Contacts who reply next.
    their_turn: BTreeMap<(usize, ConversationChannel), bool>,
    number: u64,
}

/// What the service can do.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    /// Channels that a provider serves.
    pub(super) served: Vec<Channel>,
    /// Whether replies are injected into simulated providers.
    pub(super) injects: bool,
}

/// A request that carries a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ScriptStep {
    /// Its number in the script, from 1.
    pub(super) number: u64,
    /// Whether the shop sends it.
    pub(super) ours: bool,
    pub(super) path: &'static str,
    pub(super) body: Value,
    /// The field of the provider's message id, if the body has one.
    pub(super) id_field: Option<&'static str>,
}

impl Script {
    pub(super) fn new(seed: u64, contacts: usize, terms: Terms) -> Self {
        let mut random = Pcg64::seed_from_u64(seed);
        let contacts = (0..contacts)
            .map(|number| Contact::made_up(number, &mut random))
            .collect();
        Self {
            random,
            contacts,
            terms,
            their_turn: BTreeMap::new(),
            number: 0,
        }
    }

    pub(super) fn next(&mut self) -> ScriptStep {
        self.number += 1;
        let who = (0..self.contacts.len()).fake_with_rng(&mut self.random);
        let channel = match self.percent() {
            0..60 => Channel::Sms,
            60..75 => Channel::Mms,
            _ => Channel::Email,
        };
        let turn = self.their_turn.entry((who, channel.conversation())).or_default();
        let likely_theirs = if *turn { 75 } else { 25 };
        let theirs = self.percent() < likely_theirs || !self.terms.served.contains(&channel);
        self.their_turn.insert((who, channel.conversation()), !theirs);
        if theirs {
            self.theirs(who, channel)
        } else {
            self.ours(who, channel)
        }
    }

    fn ours(&mut self, who: usize, channel: Channel) -> ScriptStep {
        let contact = &self.contacts[who];
        let (us, them) = addresses(who, contact, channel);
        let mut body = json!({
            "channel": channel, "from": us, "to": them, "body": ours(contact, &mut self.random),
        });
        self.attach(channel, &mut body);
        if channel == Channel::Email {
            body["subject"] = subject(&mut self.random).into();
        }
        self.step(true, "/api/messages", body, None)
    }

    fn theirs(&mut self, who: usize, channel: Channel) -> ScriptStep {
        let (us, them) = addresses(who, &self.contacts[who], channel);
        let mut body = json!({"from": them, "to": us, "body": theirs(&mut self.random)});
        self.attach(channel, &mut body);
        let injected = self.percent() < 50;
        let (path, id_field) = if injected && self.terms.injects {
            body["channel"] = json!(channel);
            ("/api/provider/mock/inbound", "provider_message_id")
        } else if channel == Channel::Email {
            body["subject"] = subject(&mut self.random).into();
            ("/api/webhooks/email", "xillio_id")
        } else {
            body["type"] = json!(channel);
            ("/api/webhooks/sms", "messaging_provider_id")
        };
        self.step(false, path, body, Some(id_field))
    }

    /// Adds an attachment to an MMS.
    fn attach(&mut self, channel: Channel, body: &mut Value) {
        if channel == Channel::Mms {
            let number: u16 = (1..1_000).fake_with_rng(&mut self.random);
            body["attachments"] = json!([format!("https://pictures.example/{number}.jpg")]);
        }
    }

    fn percent(&mut self) -> u8 {
        (0..100).fake_with_rng(&mut self.random)
    }

    fn step(
        &self,
        ours: bool,
        path: &'static str,
        body: Value,
        id_field: Option<&'static str>,
    ) -> ScriptStep {
        ScriptStep {
            number: self.number,
            ours,
            path,
            body,
            id_field,
        }
    }
}

/// The addresses of the shop and the contact. A contact always has the same number of the shop, so that the conversation stays
/// one.
fn addresses(who: usize, contact: &Contact, channel: Channel) -> (&'static str, &str) {
    match channel.conversation() {
        ConversationChannel::Sms => (OUR_PHONES[who % OUR_PHONES.len()], &contact.phone),
        ConversationChannel::Email => (OUR_EMAIL, &contact.email),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use domain::{Clock, Draft, DraftRules, Origin, SystemClock};

    use super::{super::people::CONTACTS_MAX, *};

    fn steps(seed: u64, served: &[Channel], injects: bool) -> Vec<ScriptStep> {
        let terms = Terms {
            served: served.to_vec(),
            injects,
        };
        let mut script = Script::new(seed, 20, terms);
        (0..500).map(|_| script.next()).collect()
    }

    #[test]
    fn a_seed_gives_the_same_script() {
        assert_eq!(steps(7, Channel::ALL, true), steps(7, Channel::ALL, true));
        assert_ne!(steps(7, Channel::ALL, true), steps(8, Channel::ALL, true));
    }

    #[test]
    fn every_message_is_valid_and_every_route_is_used() {
        let rules = DraftRules {
            default_region: None,
            attachments_max: 10,
        };
        let mut paths = BTreeSet::new();
        for step in steps(7, Channel::ALL, true) {
            let text = |name: &str| step.body[name].as_str().map(str::to_owned);
            let named = text("channel").or_else(|| text("type"));
            let draft = Draft {
                origin: Origin::Client,
                channel: named.map_or(Channel::Email, |channel| channel.parse().unwrap()),
                from: text("from"),
                to: text("to"),
                subject: text("subject"),
                body: text("body"),
                attachments: step.body["attachments"]
                    .as_array()
                    .map(|urls| urls.iter().map(|url| url.as_str().unwrap().to_owned()).collect()),
                timestamp: None,
                send_at: None,
                expires_at: None,
                metadata: None,
            };
            assert!(draft.check(&rules, SystemClock::new().now()).is_ok(), "{step:?}");
            paths.insert(step.path);
        }
        assert_eq!(paths.len(), 4, "{paths:?}");
    }

    #[test]
    fn a_service_is_asked_only_for_what_it_can_do() {
        for step in steps(7, &[Channel::Email], false) {
            assert_ne!(step.path, "/api/provider/mock/inbound");
            assert!(!step.ours || step.body["channel"] == "email", "{step:?}");
        }
        assert!(steps(7, &[], true).iter().all(|step| !step.ours));
    }

    #[test]
    fn everybody_has_addresses_of_their_own() {
        let script = Script::new(
            7,
            CONTACTS_MAX,
            Terms {
                served: Vec::new(),
                injects: true,
            },
        );
        let phones: BTreeSet<&str> = script.contacts.iter().map(|contact| &*contact.phone).collect();
        let emails: BTreeSet<&str> = script.contacts.iter().map(|contact| &*contact.email).collect();
        assert_eq!((phones.len(), emails.len()), (CONTACTS_MAX, CONTACTS_MAX));
        // Their messages go to the providers whose failures the demo shows.
        let scripted =
            |address: &&str| domain::Script::of(&domain::Participant::from_stored(*address)).is_some();
        assert!(!phones.iter().chain(&emails).any(scripted));
        assert!(OUR_PHONES.iter().all(|ours| !phones.contains(ours)));
    }
}
