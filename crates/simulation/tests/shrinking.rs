//! A failing schedule can be made small enough to read. A planted bug makes one fail: bin/planted-bugs.

use mutants::Mutant;
use simulation::{Plan, run, shrink};

#[test]
fn a_shrunk_schedule_is_small_and_breaks_the_same_rule() {
    mutants::choose(Some(Mutant::DropOnBreakerOpen));
    let plan = (0..20)
        .map(Plan::of)
        .find(|plan| !run(plan, false).violations.is_empty())
        .unwrap();
    let rule = run(&plan, false).violations[0].rule;
    let small = shrink(&plan).unwrap();
    let report = run(&small, true);
    mutants::choose(None);
    assert!(report.violations.iter().any(|violation| violation.rule == rule));
    assert!(report.trace.unwrap().contains("VIOLATION"));
    let size = |plan: &Plan| plan.operations.len() + plan.faults.len();
    assert!(
        size(&small) * 2 < size(&plan),
        "{} of {}",
        size(&small),
        size(&plan)
    );
}
