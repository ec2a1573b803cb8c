use std::{collections::BTreeMap, fmt, time::Duration};

use super::super::storm::{Aftermath, Place};
use crate::world::{Findings, Offer, Rule, Summary};

/// The report of a soak, as a table.
pub(super) struct Report {
    rows: Vec<(String, String)>,
}

impl Report {
    pub(super) fn of(seed: u64, took: Duration, aftermath: &Aftermath) -> Self {
        let mut report = Self { rows: Vec::new() };
        report.row("seed", seed);
        report.row("length, with start and audit", format!("{} s", took.as_secs()));
        report.clients(aftermath);
        report.faults(aftermath);
        match &aftermath.audit {
            Some((summary, found)) => report.audit(summary, found),
            None => report.row("audit", "it came to none"),
        }
        report.nodes(aftermath);
        report.verdict(&aftermath.diary.broken);
        report
    }

    fn clients(&mut self, aftermath: &Aftermath) {
        let load = &aftermath.load;
        self.heading("CLIENTS");
        for (direction, inbound) in [("outbound", false), ("inbound", true)] {
            let accepted = |offer: &&Offer| offer.accepted.is_some() && offer.inbound == inbound;
            let mut channels = BTreeMap::new();
            for offer in load.offers.iter().filter(accepted) {
                *channels.entry(offer.channel.to_owned()).or_default() += 1;
            }
            self.row(&format!("messages acknowledged, {direction}"), listed(&channels));
        }
        let mut took = load.acknowledgements.clone();
        took.sort_unstable();
        let share = |percent: usize| milliseconds(took.get(took.len().saturating_sub(1) * percent / 100));
        self.row("answers 202, repeats too", took.len());
        self.row(
            "acknowledged in",
            format!(
                "p50 {}, p99 {}, slowest {}",
                share(50),
                share(99),
                milliseconds(took.last())
            ),
        );
        let refusals = load.refusals.iter();
        let refusals = refusals.map(|((status, code), times)| (format!("{status} {code}"), *times));
        self.row("answers other than 202", listed(&refusals.collect()));
        let unknown = (503, "outcome_unknown".to_owned());
        self.row(
            "ambiguous for the client",
            format!(
                "{} outcome_unknown, {} cut off, {} given up",
                load.refusals.get(&unknown).copied().unwrap_or_default(),
                load.cut_off,
                load.given_up
            ),
        );
        self.row("found no node", load.not_connected);
    }

    fn faults(&mut self, aftermath: &Aftermath) {
        let diary = &aftermath.diary;
        self.heading("FAULTS");
        for (name, (times, back_after)) in &diary.faults {
            let back_after = milliseconds(Some(back_after));
            self.row(
                name,
                format!("{times}, all nodes served again within {back_after}"),
            );
        }
        for (name, times) in &diary.troubles {
            self.row(&format!("  {name}"), format!("{times} of them"));
        }
        self.row("processes killed", diary.killed);
        self.row("processes stopped in order", diary.stopped);
        self.row(
            "slowest refusal in an outage",
            milliseconds(Some(&diary.slowest_refusal)),
        );
        self.row(
            "what was due is tried within",
            milliseconds(Some(&diary.slowest_progress)),
        );
        let seen = &aftermath.seen;
        self.row(
            "/readyz and sends",
            format!(
                "compared {} times, at odds for {} at most",
                seen.compared,
                milliseconds(Some(&seen.longest_disagreement))
            ),
        );
        self.row("messages read on their way", seen.reads);
        self.row("connections of a node, at most", seen.backends_max);
    }

    fn audit(&mut self, summary: &Summary, found: &Findings) {
        self.heading("AUDIT");
        self.row(
            "messages stored",
            format!("{} in {} conversations", summary.stored, summary.conversations),
        );
        self.row("acknowledged and lost", found.of(Rule::NothingLost));
        self.row("stored twice", found.of(Rule::NothingStoredTwice));
        let unexplained = found.of(Rule::DuplicatesExplained);
        self.row(
            "sent more than once, explained",
            summary.sent_again.saturating_sub(unexplained),
        );
        self.row("sent more than once, unexplained", unexplained);
        self.row("answers wrong or missing", found.of(Rule::AnswersTrue));
        self.row("inexact conversations", found.of(Rule::ConversationsExact));
        self.row("references to nothing", found.of(Rule::ReferencesHold));
        self.row("attempts missing or doubled", found.of(Rule::AttemptsComplete));
        self.row("not final, or still held", found.of(Rule::EverythingFinal));
        self.row("calls the providers saw", summary.calls);
        self.row("attempts", listed(&summary.attempts_by_outcome));
        self.row("told by their worker too late", summary.late);
        self.row("dead letters", listed(&summary.failed_by_reason));
    }

    fn nodes(&mut self, aftermath: &Aftermath) {
        let diary = &aftermath.diary;
        self.heading("NODES");
        for (number, place) in (1..).zip(&diary.places) {
            let Place {
                processes,
                oldest,
                memory_begin,
                memory_max,
                memory_end,
            } = place;
            self.row(
                &format!("node {number}"),
                format!(
                    "memory {} at first, {} at most, {} at the end; {processes} processes, the oldest {} s",
                    megabytes(*memory_begin),
                    megabytes(*memory_max),
                    megabytes(*memory_end),
                    oldest.as_secs()
                ),
            );
        }
        self.row("waiting before a fault, at most", diary.waiting_max);
        self.row(
            "logs",
            format!("{} panics, {} errors", diary.panics, diary.errors),
        );
        for (message, times) in &diary.warnings {
            self.row("  warning", format!("{times} {message}"));
        }
    }

    fn verdict(&mut self, broken: &[String]) {
        self.heading("VERDICT");
        for line in broken.iter().flat_map(|broken| broken.lines()) {
            self.row("BROKEN", line);
        }
        if broken.is_empty() {
            self.row("all held", "");
        }
    }

    fn heading(&mut self, name: &str) {
        self.row("", "");
        self.row(name, "");
    }

    fn row(&mut self, name: &str, value: impl ToString) {
        self.rows.push((name.to_owned(), value.to_string()));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .rows
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or_default();
        for (name, value) in &self.rows {
            let line = format!("{name:width$}  {value}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The sum and its parts.
fn listed(counts: &BTreeMap<String, usize>) -> String {
    let parts: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    match &parts[..] {
        [] => "0".to_owned(),
        _ => format!("{} ({})", counts.values().sum::<usize>(), parts.join(", ")),
    }
}

fn milliseconds(duration: Option<&Duration>) -> String {
    duration.map_or_else(
        || "none".to_owned(),
        |duration| format!("{:.1} ms", duration.as_secs_f64() * 1_000.0),
    )
}

fn megabytes(kilobytes: Option<u64>) -> String {
    kilobytes.map_or_else(
        || "unknown".to_owned(),
        |kilobytes| format!("{:.1} MB", kilobytes as f64 / 1_024.0),
    )
}
