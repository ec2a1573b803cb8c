use std::time::Duration;

use engine::LimitSettings;
use store::Deadlines;

use super::{Fault, FaultKind, Health, Operation, OperationKind, SendPlan, Settings};
use crate::draw::Draw;

/// Share of worlds with a slow link to the database.
const WORLDS_PERMILLE: u32 = 60;
/// The longest time a single message takes on the link.
const LARGEST: Duration = Duration::from_millis(200);
/// Enough of them for a backlog that one claim cannot carry.
const MORE_SENDS: u32 = 80;
/// A stream of its own, so that other plans stay as they are.
const FIRST_GROUP: u32 = 1_000_000;
/// The largest body, whatever the link.
const PADDING_MAX: u64 = 60_000;

/// Gives some worlds a slow link to the database, large messages, and a backlog: the first provider fails until the other faults
/// are over.
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
    // As operators set it: only the link limits a claim, and no message fails for another reason.
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
            // Repeats have the same body.
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

/// Adds sends like the ones present, each a message of its own.
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
