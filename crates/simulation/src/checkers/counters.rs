//! Rule 12: the nodes' counters equal the rows in the database. A node that loses an answer may count less, never more.

use std::collections::BTreeMap;

use domain::{Direction, FailureReason, Outcome};
use engine::Metrics;

use super::{Request, Response, fencing::Fencing, snapshot::Snapshot};
use crate::plan::Knowledge;

const RULE: &str = "12: counters = rows";

pub(super) struct Books<'a> {
    pub(super) knowledge: Knowledge,
    pub(super) snapshot: &'a Snapshot,
    pub(super) fencing: &'a Fencing,
    pub(super) requests: &'a [Request],
}

pub(super) fn check<'a>(
    metrics: impl Iterator<Item = &'a Metrics>,
    books: &Books<'_>,
    problems: &mut Vec<(&'static str, String)>,
) {
    let Books {
        knowledge,
        snapshot,
        fencing,
        requests,
    } = books;
    let counted = Counted::read(metrics);
    // `missed` of the rows may not have been counted.
    let mut compare = |name: &str, label: String, rows: u64, missed: u64| {
        let count = counted.sum(name, &label);
        if count > rows || count.saturating_add(missed) < rows {
            problems.push((
                RULE,
                format!("{name}{{{label}}} is {count}, and there are {rows}"),
            ));
        }
    };
    let unless = |lost: bool| if lost { u64::MAX } else { 0 };
    let (unanswered, lost) = (*knowledge > Knowledge::Complete, *knowledge == Knowledge::Lost);
    let messages = || snapshot.messages.values();
    for direction in Direction::ALL {
        let rows = messages()
            .filter(|detail| detail.message.direction == *direction)
            .count() as u64;
        let label = format!("direction=\"{direction}\"");
        compare("messages_accepted_total", label, rows, unless(unanswered));
    }
    for outcome in Outcome::ALL {
        let attempts = messages().flat_map(|detail| &detail.attempts);
        let rows = attempts.filter(|attempt| attempt.outcome == *outcome).count() as u64;
        // A settlement is repeated until there is an answer. A claim or a sweep, which record attempts of expired leases, is not.
        let missed = unless(lost || (unanswered && *outcome == Outcome::Unknown));
        compare(
            "dispatch_attempts_total",
            format!("outcome=\"{outcome}\""),
            rows,
            missed,
        );
    }
    for reason in FailureReason::ALL {
        let rows = fencing.dead_letters.get(reason).copied().unwrap_or(0);
        let label = format!("reason=\"{reason}\"");
        compare("dead_letters_total", label, rows, unless(unanswered));
    }
    let conversations = snapshot.conversations.len() as u64;
    let missed = unless(unanswered);
    compare(
        "conversations_created_total",
        String::new(),
        conversations,
        missed,
    );
    let reused = snapshot.messages.len() as u64 - conversations;
    compare("conversations_reused_total", String::new(), reused, missed);
    let told =
        |is: fn(&Response) -> bool| requests.iter().filter(|request| is(&request.reply)).count() as u64;
    // Requests without an answer: their result is unknown.
    let in_the_dark = told(|reply| matches!(reply, Response::Nothing | Response::Unknown));
    let no_provider = told(|reply| *reply == Response::NoProvider);
    compare(
        "invalid_routing_total",
        String::new(),
        no_provider + in_the_dark,
        in_the_dark,
    );
}

/// The counters of several nodes together.
pub(super) struct Counted(BTreeMap<String, u64>);

impl Counted {
    pub(super) fn read<'a>(metrics: impl Iterator<Item = &'a Metrics>) -> Self {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for one in metrics {
            let text = one.render().unwrap_or_default();
            for line in text.lines() {
                let Some((series, count)) = line
                    .strip_prefix("trunkline_")
                    .and_then(|line| line.rsplit_once(' '))
                else {
                    continue;
                };
                if let Ok(count) = count.parse::<u64>() {
                    *sums.entry(series.to_owned()).or_default() += count;
                }
            }
        }
        Self(sums)
    }

    /// All series of a name that carry a label.
    pub(super) fn sum(&self, name: &str, label: &str) -> u64 {
        self.series(name)
            .filter(|(series, _)| series.contains(label))
            .map(|(_, count)| count)
            .sum()
    }

    pub(super) fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
        self.0
            .iter()
            .filter(move |(series, _)| {
                series
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
            })
            .map(|(series, count)| (series.as_str(), *count))
    }
}
