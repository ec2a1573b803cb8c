use super::{Bench, PAIRS};
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
/// How often each is measured, in turn with its baseline: a machine that is not ours alone is faster in one minute than in
/// the next. What stands in the table is the round with the middle ratio.
const ROUNDS: usize = 3;
/// Far below what a client notices.
const ACK_P95_MAX_MS: f64 = 200.0;

impl Bench {
    /// How many messages are accepted in a burst, against one transaction for each request. Dispatch runs and may lag;
    /// the backlog is drained afterwards.
    pub(super) async fn burst(&mut self) -> anyhow::Result<()> {
        for (name, connections, pairs, target) in CASES {
            let (mut rounds, mut audits) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let plan = self.plan(connections, Pace::Closed, pairs);
                let baseline = self.run_baseline(&plan).await?;
                let run = self.run_trunkline(Kind::Postgres, &plan).await?;
                if pairs > 1 {
                    self.saw(Kind::Postgres, run.tally.rate());
                }
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

    /// Notes a rate that was reached.
    pub(super) fn saw(&mut self, kind: Kind, rate: f64) {
        let peak = self.peaks.entry(kind).or_default();
        *peak = peak.max(rate);
    }

    /// The highest rate reached so far, found now if none was.
    pub(super) async fn peak(&mut self, kind: Kind) -> anyhow::Result<f64> {
        if !self.peaks.contains_key(&kind) {
            let plan = self.plan(64, Pace::Closed, PAIRS);
            let run = self.run_trunkline(kind, &plan).await?;
            run.audit?;
            self.saw(kind, run.tally.rate());
        }
        Ok(self.peaks.get(&kind).copied().unwrap_or_default())
    }
}
