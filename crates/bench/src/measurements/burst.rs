use super::{Bench, PAIRS, ROUNDS};
use crate::{
    load::{Pace, Tally},
    report::{Row, Target},
    subjects::Kind,
};

const CASES: [(&str, usize, u32, f64); 3] = [
    ("a: accepted, 64 connections", 64, PAIRS, 3.5),
    ("a: accepted, 256 connections", 256, PAIRS, 4.0),
    ("a: accepted, 64 connections, one hot conversation", 64, 1, 15.0),
];
/// Far below what a client notices.
const ACK_P95_MAX_MS: f64 = 200.0;

impl Bench {
    /// Messages accepted in a burst, against one transaction for each request. Dispatch runs and may lag; the backlog is drained
    /// afterwards.
    pub(super) async fn burst(&mut self) -> anyhow::Result<()> {
        for (name, connections, pairs, target) in CASES {
            let (mut rounds, mut audits) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let plan = self.plan(connections, Pace::Closed, pairs);
                let baseline = self.run_baseline(&plan).await?;
                let run = self.run_trunkline(Kind::Postgres, &plan).await?;
                audits.extend([baseline.audit, run.audit]);
                rounds.push((run.tally, baseline.tally));
            }
            rounds.sort_by(|one, other| {
                let ratio = |(run, baseline): &(Tally, Tally)| run.rate() / baseline.rate();
                ratio(one).total_cmp(&ratio(other))
            });
            let (run, baseline) = &rounds[ROUNDS / 2];
            let rate = Row::new(name, "messages/s", run.rate(), Target::RatioAtLeast(target));
            self.report.add(rate.against(baseline.rate()).provided(audits));
            let name = format!("{name}: ack p95");
            let p95 = Row::new(name, "ms", run.quantile_ms(0.95), Target::AtMost(ACK_P95_MAX_MS));
            self.report.add(p95.against(baseline.quantile_ms(0.95)));
        }
        Ok(())
    }
}
