use super::{Bench, PAIRS};
use crate::{
    load::Pace,
    report::{Row, Target},
    subjects::Kind,
};

impl Bench {
    /// Rates on the file (with `synchronous=FULL`) against PostgreSQL.
    pub(super) async fn sqlite(&mut self) -> anyhow::Result<()> {
        let plan = self.plan(64, Pace::Closed, PAIRS);
        let postgres = self.run_trunkline(Kind::Postgres, &plan).await?;
        let sqlite = self.run_trunkline(Kind::Sqlite, &plan).await?;
        let (on_sqlite, on_postgres) = (sqlite.end_to_end(), postgres.end_to_end());
        let name = "e: accepted on SQLite against PostgreSQL, 64 connections";
        let row = Row::new(name, "messages/s", sqlite.tally.rate(), Target::RatioAtLeast(0.6));
        self.report.add(
            row.against(postgres.tally.rate())
                .provided([postgres.audit, sqlite.audit]),
        );
        let name = "e: end to end on SQLite against PostgreSQL";
        let row = Row::new(name, "messages/s", on_sqlite, Target::Reported);
        self.report.add(row.against(on_postgres));
        Ok(())
    }
}
