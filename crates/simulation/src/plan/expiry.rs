use std::time::Duration;

use super::{Operation, OperationKind, Settings};
use crate::draw::Draw;

/// Share of worlds in which keys expire while clients still use them.
const WORLDS_PERMILLE: u32 = 300;
/// Share of requests with a key that are repeated around its expiry.
const LATE_PERMILLE: u32 = 400;

/// Makes keys expire soon, and repeats requests just before, soon after, and after any purge.
pub(super) fn draw(draw: &Draw, settings: &mut Settings, operations: &mut Vec<Operation>) {
    if !draw.permille(WORLDS_PERMILLE) {
        return;
    }
    let ttl_ms = draw.pick(&[2_000, 10_000, 30_000, 60_000]);
    settings.engine.idempotency_ttl = Duration::from_millis(ttl_ms);
    let mut late = Vec::new();
    for operation in &*operations {
        let keyed = matches!(&operation.kind, OperationKind::Send(send) if send.keyed);
        if keyed && draw.permille(LATE_PERMILLE) {
            let after = match draw.below(3) {
                0 => draw.millis(ttl_ms - 1_000, ttl_ms + 1_000),
                1 => draw.millis(ttl_ms, ttl_ms + 60_000),
                _ => draw.millis(ttl_ms + 60_000, ttl_ms + 120_000),
            };
            late.push(Operation {
                at: operation.at + after,
                ..operation.clone()
            });
        }
    }
    operations.append(&mut late);
    operations.sort_by_key(|operation| operation.at);
}
