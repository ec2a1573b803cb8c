use super::{Fault, FaultKind, Settings, Statement, StoreFailure, faults};
use crate::draw::Draw;

/// Share of worlds in which single statements fail.
const WORLDS_PERMILLE: u32 = 250;

/// Adds errors of single statements: every kind, at every statement.
pub(super) fn draw(draw: &Draw, settings: &Settings, faults: &mut Vec<Fault>) {
    if !draw.permille(WORLDS_PERMILLE) {
        return;
    }
    for _ in 0..draw.between(1, 6) {
        let kind = FaultKind::StatementFails {
            statement: draw.pick(&Statement::ALL),
            failure: draw.pick(&StoreFailure::ALL),
            permille: draw.pick(&[100, 500, 1_000]),
            lasting: draw.millis(500, 10_000),
        };
        let at = faults::moment(draw, settings);
        faults.push(Fault { at, kind });
    }
    faults.sort_by_key(|fault| fault.at);
}
