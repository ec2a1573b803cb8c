use super::{Bench, PAIRS};
use crate::{
    load::Pace,
    report::{Row, Target},
    subjects::Kind,
};

/// Enough that a connection is free whenever a request is due, unless the server stalls.
const CONNECTIONS: usize = 128;

impl Bench {
    /// How long clients wait for their `202` at half of the highest rate, counted from when requests were due.
    pub(super) async fn latency(&mut self) -> anyhow::Result<()> {
        for (kind, most) in [(Kind::Postgres, 10.0), (Kind::Sqlite, 15.0)] {
            let rate = self.peak(kind).await? / 2.0;
            let plan = self.plan(CONNECTIONS, Pace::Open { rate }, PAIRS);
            let run = self.run_trunkline(kind, &plan).await?;
            let p99 = run.tally.quantile_ms(0.99);
            let name = format!("c: ack p99 at {rate:.0}/s, {kind}");
            self.report
                .add(Row::new(name, "ms", p99, Target::AtMost(most)).provided([run.audit]));
        }
        Ok(())
    }
}
