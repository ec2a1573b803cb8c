use std::fmt::{self, Write};

use serde_json::{Value, json};

/// The target of a measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// The ratio to the baseline.
    RatioAtLeast(f64),
    /// The ratio to the baseline.
    RatioAtMost(f64),
    AtLeast(f64),
    AtMost(f64),
    /// Reported only.
    Reported,
}

#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) baseline: Option<f64>,
    pub(crate) measured: f64,
    pub(crate) target: Target,
    /// Why the figure is refused.
    pub(crate) refused: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Met,
    Missed,
    Reported,
    Refused,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, measured: f64, target: Target) -> Self {
        Self {
            name: name.into(),
            unit,
            baseline: None,
            measured,
            target,
            refused: None,
        }
    }

    pub(crate) fn against(mut self, baseline: f64) -> Self {
        self.baseline = Some(baseline);
        self
    }

    /// Refuses the figure if a check of its run failed.
    pub(crate) fn provided(mut self, checks: impl IntoIterator<Item = anyhow::Result<()>>) -> Self {
        let failed = checks.into_iter().find_map(Result::err);
        self.refused = failed.map(|error| format!("{error:#}"));
        self
    }

    fn ratio(&self) -> Option<f64> {
        self.baseline.map(|baseline| self.measured / baseline)
    }

    fn verdict(&self) -> Verdict {
        if self.refused.is_some() {
            return Verdict::Refused;
        }
        let met = match self.target {
            Target::RatioAtLeast(least) => self.ratio().is_some_and(|ratio| ratio >= least),
            Target::RatioAtMost(most) => self.ratio().is_some_and(|ratio| ratio <= most),
            Target::AtLeast(least) => self.measured >= least,
            Target::AtMost(most) => self.measured <= most,
            Target::Reported => return Verdict::Reported,
        };
        if met { Verdict::Met } else { Verdict::Missed }
    }
}

/// The rows of a run, in order.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("  => {}: {}", row.name, row.verdict());
        self.rows.push(row);
    }

    /// Explains the figures: latencies, and where the CPU time went.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        eprintln!("  {note}");
        self.notes.push(note);
    }

    /// Whether no target was missed and no figure refused.
    pub(crate) fn is_good(&self) -> bool {
        let good = |row: &Row| matches!(row.verdict(), Verdict::Met | Verdict::Reported);
        self.rows.iter().all(good)
    }

    /// A table in Markdown.
    pub(crate) fn table(&self) -> String {
        let heads = [
            "measurement",
            "unit",
            "baseline",
            "measured",
            "ratio",
            "target",
            "verdict",
        ];
        let mut lines = vec![heads.map(str::to_owned)];
        lines.extend(self.rows.iter().map(|row| {
            [
                row.name.clone(),
                row.unit.to_owned(),
                row.baseline.map_or_else(String::new, figure),
                figure(row.measured),
                row.ratio()
                    .map_or_else(String::new, |ratio| format!("{ratio:.2}x")),
                row.target.to_string(),
                row.verdict().to_string(),
            ]
        }));
        let widths: [usize; 7] = std::array::from_fn(|column| {
            lines
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or(0)
        });
        lines.insert(1, widths.map(|width| "-".repeat(width)));
        let mut table = String::new();
        for line in lines {
            for (cell, width) in line.iter().zip(widths) {
                let _ = write!(table, "| {cell:width$} ");
            }
            table.push_str("|\n");
        }
        for row in &self.rows {
            if let Some(reason) = &row.refused {
                let _ = writeln!(table, "\nREFUSED: {}: {reason}", row.name);
            }
        }
        if !self.notes.is_empty() {
            let _ = write!(table, "\n{}\n", self.notes.join("\n"));
        }
        table
    }

    pub(crate) fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "measurement": row.name,
                "unit": row.unit,
                "baseline": row.baseline,
                "measured": row.measured,
                "ratio": row.ratio(),
                "target": row.target.to_string(),
                "verdict": row.verdict().to_string(),
                "refused": row.refused,
            })
        });
        json!({"measurements": rows.collect::<Vec<_>>(), "notes": self.notes})
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtLeast(least) => write!(f, ">= {least}x"),
            Self::RatioAtMost(most) => write!(f, "<= {most}x"),
            Self::AtLeast(least) => write!(f, ">= {}", figure(*least)),
            Self::AtMost(most) => write!(f, "<= {}", figure(*most)),
            Self::Reported => Ok(()),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::Reported => "reported",
            Self::Refused => "REFUSED",
        })
    }
}

/// Significant digits only.
fn figure(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_follow_the_target() {
        let row = |target| Row::new("rate", "1/s", 700.0, target).against(200.0);
        assert_eq!(row(Target::RatioAtLeast(3.5)).verdict(), Verdict::Met);
        assert_eq!(row(Target::RatioAtLeast(3.6)).verdict(), Verdict::Missed);
        assert_eq!(row(Target::RatioAtMost(1.5)).verdict(), Verdict::Missed);
        assert_eq!(row(Target::AtLeast(700.0)).verdict(), Verdict::Met);
        assert_eq!(row(Target::AtMost(10.0)).verdict(), Verdict::Missed);
        assert_eq!(row(Target::Reported).verdict(), Verdict::Reported);
    }

    #[test]
    fn a_figure_of_a_run_that_lost_something_is_refused() {
        let row = Row::new("rate", "1/s", 700.0, Target::AtLeast(1.0));
        let refused = row
            .clone()
            .provided([Ok(()), Err(anyhow::anyhow!("one is missing"))]);
        assert_eq!(refused.verdict(), Verdict::Refused);
        assert_eq!(row.provided([Ok(())]).verdict(), Verdict::Met);
        let mut report = Report::default();
        report.add(refused);
        assert!(!report.is_good());
        assert!(report.table().contains("one is missing"));
    }
}
