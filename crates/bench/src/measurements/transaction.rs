use super::{Bench, PAIRS};
use crate::{
    load::{Pace, Plan},
    report::{Row, Target},
    subjects::Kind,
};

impl Bench {
    /// The accepting transaction with its conversation. The whole request is timed, of which the transaction is the larger
    /// part: an upper bound.
    pub(super) async fn transaction(&mut self) -> anyhow::Result<()> {
        for (pairs, which) in [(PAIRS, ""), (1, ", one hot conversation")] {
            let alone = self.plan(1, Pace::Closed, pairs);
            self.p95(&format!("d: accept alone, p95{which}"), &alone, 10.0)
                .await?;
            let paced = self.plan(16, Pace::Open { rate: 100.0 }, pairs);
            self.p95(&format!("d: accept at 100/s, p95{which}"), &paced, 25.0)
                .await?;
        }
        Ok(())
    }

    async fn p95(&mut self, name: &str, plan: &Plan, most: f64) -> anyhow::Result<()> {
        let run = self.run_trunkline(Kind::Postgres, plan).await?;
        let p95 = run.tally.quantile_ms(0.95);
        self.report
            .add(Row::new(name, "ms", p95, Target::AtMost(most)).provided([run.audit]));
        Ok(())
    }
}
