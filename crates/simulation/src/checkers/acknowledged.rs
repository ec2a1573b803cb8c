//! Rules 1, 6 and 7: every answer to a client is true, and stays true.

use std::collections::{BTreeMap, BTreeSet};

use domain::{ConversationId, IdempotencyKey, MessageId};

use super::{
    Request, Response,
    keys::{self, Keys},
    snapshot::Snapshot,
};
use crate::{
    plan::{MessageProfile, OperationKind, Plan},
    workload,
};

pub(super) const RULE_STORED: &str = "1: every acknowledged id exists with equal content";
const RULE_INBOUND_IDS: &str = "7: one row per provider message id and participants";
const RULE_NO: &str = "a clear no stores nothing";

/// The requests with one body.
#[derive(Default)]
struct Asked {
    ids: BTreeSet<MessageId>,
    /// Answers after which a message may exist.
    perhaps: usize,
    conflicts: usize,
    refusals: usize,
}

pub(super) fn check(
    plan: &Plan,
    snapshot: &Snapshot,
    requests: &[Request],
    known: &Keys,
    problems: &mut Vec<(&'static str, String)>,
) {
    let mut asked: BTreeMap<String, Asked> = BTreeMap::new();
    for request in requests {
        let body = match &plan.operations[request.operation].kind {
            OperationKind::Send(send) => workload::body_of_send(send),
            OperationKind::Receive(receive) => workload::body_of_receive(receive),
            OperationKind::Redrive | OperationKind::RedriveAll { .. } | OperationKind::Cancel => continue,
        };
        if let Some(problem) = is_true(snapshot, &request.reply, &body) {
            problems.push((RULE_STORED, problem));
        }
        let asked = asked.entry(body).or_default();
        let told_of_another = matches!(request.reply, Response::Replayed(_) | Response::Conflict);
        if told_of_another && known.may_be_late(request) {
            asked.perhaps += 1;
        }
        match &request.reply {
            Response::New(ack) => {
                asked.perhaps += 1;
                asked.ids.insert(ack.id);
            }
            Response::Replayed(ack) => {
                asked.ids.insert(ack.id);
            }
            Response::Unknown | Response::Nothing => asked.perhaps += 1,
            Response::Conflict => asked.conflicts += 1,
            Response::Refused => asked.refusals += 1,
            Response::Limited { .. } | Response::NoProvider | Response::NotStored(_) => {}
        }
    }
    let mut stored: BTreeMap<&str, Vec<(MessageId, Option<ConversationId>)>> = BTreeMap::new();
    for (id, detail) in &snapshot.messages {
        let thread = detail.message.thread.map(|(conversation, _)| conversation);
        stored
            .entry(detail.message.content.body.as_str())
            .or_default()
            .push((*id, thread));
    }
    for (body, rows) in &stored {
        let perhaps = asked.get(*body).map_or(0, |asked| asked.perhaps);
        if rows.len() > perhaps {
            problems.push((
                RULE_NO,
                format!(
                    "{} messages, and {perhaps} answers that allow for one: {body}",
                    rows.len()
                ),
            ));
        }
    }
    for (body, asked) in &asked {
        let refused = MessageProfile::of_body(body) == MessageProfile::Refused;
        if asked.refusals > 0 && !refused && !plan.refuses_good_messages() {
            problems.push((
                RULE_STORED,
                format!("a good message was refused for good: {body}"),
            ));
        }
    }
    each_once(plan, &asked, &stored, known, problems);
}

/// Whether a message is what its acknowledgement said.
fn is_true(snapshot: &Snapshot, reply: &Response, body: &str) -> Option<String> {
    let (Response::New(ack) | Response::Replayed(ack)) = reply else {
        return None;
    };
    let Some(detail) = snapshot.messages.get(&ack.id) else {
        return Some(format!("{} is gone", ack.id));
    };
    let thread = detail.message.thread.map(|(conversation, _)| conversation);
    let equal = detail.message.content.body.as_str() == body && thread == Some(ack.conversation);
    (!equal).then(|| {
        format!(
            "{} is another message: asked for {body}, stored {:?}",
            ack.id,
            detail.message.content.body.as_str()
        )
    })
}

fn each_once(
    plan: &Plan,
    asked: &BTreeMap<String, Asked>,
    stored: &BTreeMap<&str, Vec<(MessageId, Option<ConversationId>)>>,
    known: &Keys,
    problems: &mut Vec<(&'static str, String)>,
) {
    // The bodies that share a key.
    let mut groups: BTreeMap<IdempotencyKey, BTreeSet<String>> = BTreeMap::new();
    let mut events: BTreeSet<String> = BTreeSet::new();
    for operation in &plan.operations {
        match &operation.kind {
            OperationKind::Send(send) => {
                if let Some(key) = workload::key_of(send) {
                    let bodies = groups.entry(key).or_default();
                    bodies.insert(workload::body_of_send(send));
                }
            }
            OperationKind::Receive(receive) => {
                events.insert(workload::body_of_receive(receive));
            }
            OperationKind::Redrive | OperationKind::RedriveAll { .. } | OperationKind::Cancel => {}
        }
    }
    let rows = |body: &String| stored.get(body.as_str()).map_or(0, Vec::len);
    for (key, bodies) in &groups {
        let (count, judged): (usize, usize) = (bodies.iter().map(rows).sum(), known.stored(key));
        if count != judged {
            problems.push((
                keys::RULE,
                format!(
                    "{}: {count} messages, of which {judged} were stored under it",
                    key.as_str()
                ),
            ));
        }
        for body in bodies {
            let conflicts = asked.get(body).map_or(0, |asked| asked.conflicts);
            if conflicts > 0 && count == rows(body) {
                problems.push((
                    keys::RULE,
                    format!("{}: a conflict with nothing: {body}", key.as_str()),
                ));
            }
        }
    }
    for body in &events {
        let ids = asked.get(body).map_or(0, |asked| asked.ids.len());
        if rows(body) > 1 || ids > 1 {
            problems.push((
                RULE_INBOUND_IDS,
                format!("{body}: {} messages, {ids} ids", rows(body)),
            ));
        }
    }
}
