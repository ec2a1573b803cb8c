use domain::Clock;
use hdrhistogram::Histogram;
use rusqlite::params;

use super::{Bench, PAIRS};
use crate::{
    load::Pace,
    report::{Row, Target},
    subjects::{Kind, Store, connect},
};

const CREATE: &str = "create table bare (id bigint primary key, body text not null)";
const RATIO_MAX: f64 = 1.5;

impl Bench {
    /// One client that waits for each answer: the price of everything around a single durable insert.
    pub(super) async fn single(&mut self) -> anyhow::Result<()> {
        for kind in [Kind::Postgres, Kind::Sqlite] {
            let store = self.databases.create(kind).await?;
            if let Store::Sqlite(_) = store {
                store.execute("", "pragma journal_mode = wal").await?;
            }
            store.execute(CREATE, CREATE).await?;
            let bare = match &store {
                Store::Postgres(url) => self.insert_into_postgres(url).await?,
                Store::Sqlite(path) => self.insert_into_sqlite(path)?,
            };
            self.databases.remove(store).await?;
            let plan = self.plan(1, Pace::Closed, PAIRS);
            let run = self.run_trunkline(kind, &plan).await?;
            let bare_ms = bare.value_at_quantile(0.5) as f64 / 1_000.0;
            let name = format!("f: one connection, ack p50, {kind}");
            let row = Row::new(
                name,
                "ms",
                run.tally.quantile_ms(0.5),
                Target::RatioAtMost(RATIO_MAX),
            );
            self.report.add(row.against(bare_ms).provided([run.audit]));
        }
        Ok(())
    }

    async fn insert_into_postgres(&self, url: &str) -> anyhow::Result<Histogram<u64>> {
        let (client, _) = connect(url).await?;
        let insert = client
            .prepare("insert into bare (id, body) values ($1, $2)")
            .await?;
        let (body, ends) = (body(), self.clock.monotonic() + self.options.seconds);
        let mut latencies = histogram();
        for id in 0_i64.. {
            let began = self.clock.monotonic();
            if began >= ends {
                break;
            }
            client.execute(&insert, &[&id, &body]).await?;
            latencies.saturating_record(micros(self.clock.monotonic() - began));
        }
        Ok(latencies)
    }

    fn insert_into_sqlite(&self, path: &std::path::Path) -> anyhow::Result<Histogram<u64>> {
        let connection = rusqlite::Connection::open(path)?;
        connection.pragma_update(None, "synchronous", "full")?;
        let mut insert = connection.prepare("insert into bare (id, body) values (?1, ?2)")?;
        let (body, ends) = (body(), self.clock.monotonic() + self.options.seconds);
        let mut latencies = histogram();
        for id in 0_i64.. {
            let began = self.clock.monotonic();
            if began >= ends {
                break;
            }
            insert.execute(params![id, body])?;
            latencies.saturating_record(micros(self.clock.monotonic() - began));
        }
        Ok(latencies)
    }
}

fn body() -> String {
    "x".repeat(160)
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(120_000_000, 3).expect("the bounds are valid")
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
