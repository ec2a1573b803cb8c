use std::time::Duration;

use super::{Operation, OperationKind};
use crate::draw::Draw;

/// Share of worlds with a [`Lifecycle`].
const WORLDS_PERMILLE: u32 = 150;
/// Share of messages to be sent later.
const SCHEDULED_PERMILLE: u32 = 150;
/// Requests for each cancellation.
const REQUESTS_PER_CANCEL: usize = 8;

/// What happens to messages after they were accepted, beside dispatch, and who watches.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    /// Share of messages that a provider reports on.
    pub receipts_permille: u32,
    /// The longest time between a message and a receipt.
    pub receipt_delay_max: Duration,
    /// Clients that follow the event log.
    pub followers: usize,
    /// Webhook endpoints.
    pub receivers: Vec<ReceiverKind>,
}

/// How a webhook endpoint behaves until the faults are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiverKind {
    Quick,
    Slow,
    /// It answers nothing.
    Dead,
    /// It answers 500 to the events of one conversation.
    FailsOne,
    /// It answers 500 now and then.
    Flaky,
    /// It answers 410.
    Gone,
}

/// Also makes some messages scheduled, and adds cancellations.
pub(super) fn draw(draw: &Draw, operations: &mut Vec<Operation>) -> Option<Lifecycle> {
    if !draw.permille(WORLDS_PERMILLE) {
        return None;
    }
    for operation in &mut *operations {
        if let OperationKind::Send(send) = &mut operation.kind {
            // The same for all requests of a group.
            let draw = draw.child(&format!("group/{}", send.group));
            let scheduled = draw.permille(SCHEDULED_PERMILLE);
            send.send_after = scheduled
                .then(|| draw.pick(&[1, 5, 20, 60]))
                .map(Duration::from_secs);
        }
    }
    let last = operations.last().map_or(Duration::ZERO, |operation| operation.at);
    let cancels = (0..operations.len() / REQUESTS_PER_CANCEL).map(|_| Operation {
        at: draw.millis(0, last.as_millis() as u64),
        kind: OperationKind::Cancel,
    });
    let mut cancels: Vec<Operation> = cancels.collect();
    operations.append(&mut cancels);
    operations.sort_by_key(|operation| operation.at);
    let kinds = [
        ReceiverKind::Quick,
        ReceiverKind::Slow,
        ReceiverKind::Dead,
        ReceiverKind::FailsOne,
        ReceiverKind::Flaky,
        ReceiverKind::Gone,
    ];
    Some(Lifecycle {
        receipts_permille: draw.pick(&[0, 300, 1_000]),
        receipt_delay_max: Duration::from_millis(draw.pick(&[10, 1_000, 20_000])),
        followers: draw.below(3) as usize,
        receivers: (0..draw.below(4)).map(|_| draw.pick(&kinds)).collect(),
    })
}
