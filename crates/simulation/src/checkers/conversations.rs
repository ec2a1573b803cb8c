//! Rule 8, and that every message is in the conversation of its participants.

use std::collections::{BTreeMap, BTreeSet};

use domain::{ConversationId, ConversationKey, Message};

use super::snapshot::Snapshot;
use crate::{
    plan::{OperationKind, Plan},
    workload,
};

const RULE: &str = "8: message_count, last_activity and sequences are exact";
const RULE_KEY: &str = "7: one conversation per key";

pub(super) fn check(plan: &Plan, snapshot: &Snapshot, problems: &mut Vec<(&'static str, String)>) {
    let mut threads: BTreeMap<ConversationId, Vec<(u64, &Message)>> = BTreeMap::new();
    for detail in snapshot.messages.values() {
        match detail.message.thread {
            Some((conversation, sequence)) => {
                threads
                    .entry(conversation)
                    .or_default()
                    .push((sequence, &detail.message));
            }
            None => problems.push((RULE, format!("{} is in no conversation", detail.message.id))),
        }
    }
    let belongs = where_messages_belong(plan);
    let mut keys = BTreeSet::new();
    for conversation in &snapshot.conversations {
        if !keys.insert(&conversation.key) {
            problems.push((
                RULE_KEY,
                format!("conversation {} is there twice", conversation.id),
            ));
        }
        let mut thread = threads.remove(&conversation.id).unwrap_or_default();
        thread.sort_unstable_by_key(|(sequence, _)| *sequence);
        let gapless = thread
            .iter()
            .zip(1..)
            .all(|((sequence, _), place)| *sequence == place);
        let activity = |message: &Message| message.timestamp.min(message.processed_at);
        let last = thread.iter().map(|(_, message)| activity(message)).max();
        if conversation.message_count != thread.len() as u64
            || !gapless
            || Some(conversation.last_activity_at) != last
        {
            let sequences: Vec<u64> = thread.iter().map(|(sequence, _)| *sequence).collect();
            problems.push((
                RULE,
                format!("{conversation:?} has {sequences:?}, the last at {last:?}"),
            ));
        }
        for (_, message) in thread {
            let expected = belongs.get(message.content.body.as_str());
            if expected.is_none_or(|keys| !keys.contains(&conversation.key)) {
                problems.push((
                    RULE_KEY,
                    format!("{} is in conversation {}", message.id, conversation.id),
                ));
            }
        }
    }
    for conversation in threads.keys() {
        problems.push((
            RULE,
            format!("messages are in conversation {conversation}, which is not there"),
        ));
    }
}

fn where_messages_belong(plan: &Plan) -> BTreeMap<String, Vec<ConversationKey>> {
    let mut belongs: BTreeMap<String, Vec<ConversationKey>> = BTreeMap::new();
    for operation in &plan.operations {
        let (body, key) = match &operation.kind {
            OperationKind::Send(send) => (
                workload::body_of_send(send),
                workload::conversation(send.channel, send.from, send.to),
            ),
            OperationKind::Receive(receive) => (
                workload::body_of_receive(receive),
                workload::conversation(receive.channel, receive.from, receive.to),
            ),
            OperationKind::Redrive | OperationKind::RedriveAll { .. } | OperationKind::Cancel => continue,
        };
        belongs.entry(body).or_default().push(key);
    }
    belongs
}
