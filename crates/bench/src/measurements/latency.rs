use super::{Bench, PAIRS, ROUNDS};
use crate::{
    load::Pace,
    report::{Row, Target},
    subjects::Kind,
};

/// Connections with which the highest rate is sought.
const PEAK_CONNECTIONS: usize = 256;
/// Enough that a connection is free whenever a request is due, unless the server stalls.
const CONNECTIONS: usize = 128;

impl Bench {
    /// The latency of a `202` at half of the highest rate, which is measured right before. It counts from when requests were
    /// due.
    pub(super) async fn latency(&mut self) -> anyhow::Result<()> {
        for (kind, most) in [(Kind::Postgres, 10.0), (Kind::Sqlite, 15.0)] {
            let (mut rounds, mut audits) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let burst = self.plan(PEAK_CONNECTIONS, Pace::Closed, PAIRS);
                let peak = self.run_trunkline(kind, &burst).await?;
                let rate = peak.tally.rate() / 2.0;
                let plan = self.plan(CONNECTIONS, Pace::Open { rate }, PAIRS);
                let run = self.run_trunkline(kind, &plan).await?;
                audits.extend([peak.audit, run.audit]);
                rounds.push((run.tally.quantile_ms(0.99), rate));
            }
            rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
            let (p99, rate) = rounds[ROUNDS / 2];
            let name = format!("c: ack p99 at {rate:.0}/s, {kind}");
            self.report
                .add(Row::new(name, "ms", p99, Target::AtMost(most)).provided(audits));
        }
        Ok(())
    }
}
