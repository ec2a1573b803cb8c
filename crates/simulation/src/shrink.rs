//! Makes a failing schedule smaller while it breaks the same rule.

use std::ops::Range;

use crate::{Plan, run};

/// Runs at most.
const RUNS_MAX: usize = 600;

/// The smallest schedule found that breaks the same rule as `plan`; `None` if `plan` breaks none.
#[must_use]
pub fn shrink(plan: &Plan) -> Option<Plan> {
    let rule = run(plan, false).violations.first()?.rule;
    let breaks = |candidate: &Plan| {
        run(candidate, false)
            .violations
            .iter()
            .any(|found| found.rule == rule)
    };
    let mut shrinking = Shrinking {
        best: plan.clone(),
        runs_left: RUNS_MAX,
        breaks,
    };
    loop {
        let before = shrinking.size();
        shrinking.drop_parts(
            |plan| plan.faults.len(),
            |plan, range| drop(plan.faults.drain(range)),
        );
        shrinking.drop_parts(
            |plan| plan.operations.len(),
            |plan, range| drop(plan.operations.drain(range)),
        );
        if shrinking.size() == before || shrinking.runs_left == 0 {
            return Some(shrinking.best);
        }
    }
}

struct Shrinking<F> {
    best: Plan,
    runs_left: usize,
    breaks: F,
}

impl<F: Fn(&Plan) -> bool> Shrinking<F> {
    fn size(&self) -> usize {
        self.best.operations.len() + self.best.faults.len()
    }

    /// Leaves out halves, quarters and so on down to single items.
    fn drop_parts(&mut self, len: impl Fn(&Plan) -> usize, remove: impl Fn(&mut Plan, Range<usize>)) {
        let mut part = len(&self.best).div_ceil(2);
        while part > 0 {
            let mut from = 0;
            while from < len(&self.best) && self.runs_left > 0 {
                let mut candidate = self.best.clone();
                remove(&mut candidate, from..(from + part).min(len(&self.best)));
                self.runs_left -= 1;
                if (self.breaks)(&candidate) {
                    self.best = candidate;
                } else {
                    from += part;
                }
            }
            part /= 2;
        }
    }
}
