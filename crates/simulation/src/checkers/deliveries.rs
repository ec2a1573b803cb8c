//! Rule 18: what webhook endpoints got.

use std::collections::{BTreeMap, BTreeSet};

use domain::{ConversationId, Event, EventId};

use crate::world::Arrival;

const RULE_ORDER: &str = "18: per endpoint and conversation, deliveries succeed in event order";
const RULE_ALL: &str = "18: every event reaches every endpoint";

pub(super) fn check(
    receivers: usize,
    log: &[Event],
    delivered_up_to: Option<EventId>,
    arrivals: &[Arrival],
    problems: &mut Vec<(&'static str, String)>,
) {
    // Events about endpoints are in no conversation.
    let conversations: BTreeMap<EventId, ConversationId> = log
        .iter()
        .filter_map(|event| Some((event.id, event.subject.conversation_id()?)))
        .collect();
    for receiver in 0..receivers {
        let mut taken = BTreeSet::new();
        let mut latest: BTreeMap<ConversationId, EventId> = BTreeMap::new();
        let arrived = arrivals
            .iter()
            .filter(|arrival| arrival.receiver == receiver && arrival.taken);
        for Arrival { event, .. } in arrived {
            if !taken.insert(*event) {
                continue;
            }
            let Some(conversation) = conversations.get(event) else {
                continue;
            };
            let before = latest.insert(*conversation, *event);
            if let Some(before) = before.filter(|before| before > event) {
                let detail =
                    format!("receiver {receiver} took {event} after {before} of conversation {conversation}");
                problems.push((RULE_ORDER, detail));
            }
        }
        let due = log.iter().filter(|event| Some(event.id) <= delivered_up_to);
        let missing = due.into_iter().find(|event| !taken.contains(&event.id));
        if let Some(event) = missing {
            problems.push((RULE_ALL, format!("receiver {receiver} did not take {event:?}")));
        }
    }
}
