//! Invariant 12: what the nodes counted is what the database holds. Only for runs in which nobody forgets anything.

use std::collections::BTreeMap;

use domain::{Direction, Outcome};
use engine::Metrics;

use super::{fencing::Fencing, snapshot::Snapshot};

const RULE: &str = "12: counters = rows";

pub(super) fn check<'a>(
    metrics: impl Iterator<Item = &'a Metrics>,
    snapshot: &Snapshot,
    fencing: &Fencing,
    problems: &mut Vec<(&'static str, String)>,
) {
    let counted = Counted::read(metrics);
    let mut compare = |name: &str, label: String, rows: u64| {
        let count = counted.sum(name, &label);
        if count != rows {
            problems.push((
                RULE,
                format!("{name}{{{label}}} is {count}, and there are {rows}"),
            ));
        }
    };
    let messages = || snapshot.messages.values();
    for direction in Direction::ALL {
        let rows = messages()
            .filter(|detail| detail.message.direction == *direction)
            .count() as u64;
        compare(
            "messages_accepted_total",
            format!("direction=\"{direction}\""),
            rows,
        );
    }
    for outcome in Outcome::ALL {
        let attempts = messages().flat_map(|detail| &detail.attempts);
        let rows = attempts.filter(|attempt| attempt.outcome == *outcome).count() as u64;
        compare("dispatch_attempts_total", format!("outcome=\"{outcome}\""), rows);
    }
    for (reason, rows) in &fencing.dead_letters {
        compare("dead_letters_total", format!("reason=\"{reason}\""), *rows);
    }
    let conversations = snapshot.conversations.len() as u64;
    compare("conversations_created_total", String::new(), conversations);
    let reused = snapshot.messages.len() as u64 - conversations;
    compare("conversations_reused_total", String::new(), reused);
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
