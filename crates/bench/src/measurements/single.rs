use std::sync::Arc;

use domain::{Clock, SystemClock};
use hdrhistogram::Histogram;
use rusqlite::params;

use super::{Bench, PAIRS, accepts::Accepts};
use crate::{
    load::Pace,
    report::{Row, Target},
    subjects::{Kind, Store, connect},
};

const CREATE: &str = "create table bare (id bigint primary key, body text not null)";
const RATIO_MAX: f64 = 1.5;

impl Bench {
    /// One client that waits for each answer: the overhead of everything around a single durable insert.
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
            let bare_ms = p50_ms(&bare);
            let direct = p50_ms(&self.accept_directly(kind).await?);
            let name = format!("f: one message at a time, the store alone, p50, {kind}");
            self.report
                .add(Row::new(name, "ms", direct, Target::Reported).against(bare_ms));
            let plan = self.plan(1, Pace::Closed, PAIRS);
            let run = self.run_trunkline(kind, &plan).await?;
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

    /// The accepting transaction without the service around it: the share of its rows in the price.
    async fn accept_directly(&mut self, kind: Kind) -> anyhow::Result<Histogram<u64>> {
        let database = self.databases.create(kind).await?;
        let clock = Arc::new(SystemClock::new());
        let store = store::open(&database.url(), Arc::clone(&clock) as Arc<dyn Clock>)?;
        store.migrate().await?;
        let accepts = Accepts::new(clock)?;
        let ends = self.clock.monotonic() + self.options.seconds;
        let mut latencies = histogram();
        loop {
            let message = accepts.batch(1);
            let began = self.clock.monotonic();
            if began >= ends {
                break;
            }
            store.accept(&message).await?;
            latencies.saturating_record(micros(self.clock.monotonic() - began));
        }
        drop(store);
        self.databases.remove(database).await?;
        Ok(latencies)
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

fn p50_ms(latencies: &Histogram<u64>) -> f64 {
    latencies.value_at_quantile(0.5) as f64 / 1_000.0
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
