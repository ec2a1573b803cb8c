use std::time::Duration;

use engine::LimitSettings;
use store::Deadlines;

use super::{Fault, FaultKind, Health, Operation, OperationKind, SendPlan, Settings};
use crate::draw::Draw;

/// In how many of a thousand worlds the way to the database is slow.
const WORLDS_PERMILLE: u32 = 60;
/// No message is so large that the link needs longer for it.
const LARGEST: Duration = Duration::from_millis(200);
/// Enough of them to make a backlog that one claim could not carry.
const MORE_SENDS: u32 = 80;
/// Apart from all that others drew.
const FIRST_GROUP: u32 = 1_000_000;
/// Nor larger than this, whatever the link.
const PADDING_MAX: u64 = 60_000;

/// Gives some worlds a slow link to the database, messages that are large against it, and a backlog: a provider that is in
/// trouble until the others are over.
pub(super) fn draw(
    draw: &Draw,
    settings: &mut Settings,
    operations: &mut Vec<Operation>,
    faults: &mut Vec<Fault>,
) {
    if !draw.permille(WORLDS_PERMILLE) {
        return;
    }
    let bytes_per_second: u64 = draw.pick(&[100_000, 250_000]);
    settings.link = Some(bytes_per_second);
    // As operators have it: only the link can say that it is too much to ask for. And no message dies of anything else.
    let engine = &mut settings.engine;
    engine.dispatch.batch_messages_max = 100;
    engine.dispatch.lane.concurrency = draw.pick(&[16, 64]);
    engine.dispatch.attempts_max = 100;
    engine.limits = LimitSettings::per_minute(1_000, 1_000, 1_000);
    let an_hour = Duration::from_secs(3_600);
    engine.deadlines = Deadlines {
        sms: an_hour,
        email: an_hour,
    };
    let largest = PADDING_MAX.min((bytes_per_second as f64 * LARGEST.as_secs_f64()) as u64);
    more_sends(draw, settings.chaos, operations);
    for operation in operations {
        if let OperationKind::Send(send) = &mut operation.kind {
            // Repeats say the same.
            let of_group = draw.child(&format!("message/{}.{}", send.group, send.says));
            send.padding = of_group.between(largest / 2, largest) as usize;
        }
    }
    faults.push(Fault {
        at: Duration::ZERO,
        kind: FaultKind::Health {
            provider: draw.below(2) as usize,
            health: draw.pick(&[Health::Failing, Health::Hanging]),
            lasting: settings.chaos,
        },
    });
    faults.sort_by_key(|fault| fault.at);
}

/// Adds sends like those that are there, each a message of its own.
fn more_sends(draw: &Draw, chaos: Duration, operations: &mut Vec<Operation>) {
    let sends: Vec<SendPlan> = operations
        .iter()
        .filter_map(|operation| match &operation.kind {
            OperationKind::Send(send) => Some(send.clone()),
            _ => None,
        })
        .collect();
    if sends.is_empty() {
        return;
    }
    for number in 0..MORE_SENDS {
        let like = &sends[draw.below(sends.len() as u64) as usize];
        let send = SendPlan {
            group: FIRST_GROUP + number,
            ..like.clone()
        };
        operations.push(Operation {
            at: draw.millis(0, chaos.as_millis() as u64),
            kind: OperationKind::Send(send),
        });
    }
    operations.sort_by_key(|operation| operation.at);
}
