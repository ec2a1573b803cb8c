use std::{sync::Arc, time::Duration};

use anyhow::Context;
use domain::{Clock, SystemClock};

use super::{Bench, PAIRS, accepts::Accepts};
use crate::{
    load::{Pace, Plan, drive},
    report::{Row, Target},
    subjects::{Contents, Cpu, Kind, backlog, drain},
};

const CONNECTIONS: usize = 256;
const RATE_MIN: f64 = 10_000.0;
/// Messages in a raw batch: the most the service commits together.
const BATCH: usize = 512;
/// Connections with which the raw limit is sought.
const RAW_CONNECTIONS: [usize; 3] = [1, 2, 4];
/// Shares of the estimated rate that are tried, until one holds.
const SHARES: [f64; 4] = [1.0, 0.9, 0.8, 0.7];
const DRAIN_MAX: Duration = Duration::from_secs(300);
/// A rate holds if the outbox, from the middle of the run to its end, grows by no more than this much time brings.
const GROWTH_MAX: Duration = Duration::from_millis(500);

/// The result of one rate.
struct Attempt {
    accepted: f64,
    holds: bool,
    audit: anyhow::Result<()>,
}

impl Bench {
    /// The rate at which messages can be accepted, dispatched and recorded without end.
    pub(super) async fn sustained(&mut self) -> anyhow::Result<()> {
        let raw = self.raw_limit().await?;
        let plan = self.plan(CONNECTIONS, Pace::Closed, PAIRS);
        let estimate = self.run_trunkline(Kind::Postgres, &plan).await?.end_to_end();
        let mut found = None;
        for share in SHARES {
            let attempt = self.hold(estimate * share).await?;
            let holds = attempt.holds;
            found = Some(attempt);
            if holds {
                break;
            }
        }
        let attempt = found.context("at least one rate is tried")?;
        let kept_up = anyhow::Ok(()).and_then(|()| {
            anyhow::ensure!(attempt.holds, "the outbox grew at every rate that was tried");
            Ok(())
        });
        let name = "b: sustained end to end, against raw batches of 512";
        let row = Row::new(name, "messages/s", attempt.accepted, Target::AtLeast(RATE_MIN));
        self.report
            .add(row.against(raw).provided([attempt.audit, kept_up]));
        Ok(())
    }

    /// Offers a rate, and checks whether dispatch keeps up.
    async fn hold(&mut self, rate: f64) -> anyhow::Result<Attempt> {
        let store = self.databases.create(Kind::Postgres).await?;
        let server = self.trunkline.start(&store, self.directory(), &[]).await?;
        let plan = self.plan(CONNECTIONS, Pace::Open { rate }, PAIRS);
        let before = Cpu::now(server.id(), self.databases.postmaster());
        let middle = async {
            tokio::time::sleep(plan.lasts / 2).await;
            backlog(&store).await
        };
        let (tally, middle) = tokio::join!(drive(&server.authority, &plan), middle);
        let (tally, middle) = (tally?, middle?);
        let end = backlog(&store).await?;
        let cpu = Cpu::now(server.id(), self.databases.postmaster()).since(before);
        let drained = drain(&store, &self.clock, DRAIN_MAX).await?;
        let audit = Contents::read(&store).await?.check_dispatched(&[&tally]);
        server.stop().await?;
        self.databases.remove(store).await?;
        let holds = keeps_up(&plan, rate, tally.accepted, middle, end);
        self.report.note(format!(
            "sustained at {rate:.0}/s: {}; outbox {middle} in the middle, {end} at the end, drained in {:.1} s: {}",
            tally.line(),
            drained.as_secs_f64(),
            if holds { "holds" } else { "does not hold" }
        ));
        self.report
            .note(format!("  {}", cpu.line(tally.took, tally.accepted)));
        Ok(Attempt {
            accepted: tally.rate(),
            holds,
            audit,
        })
    }

    /// Messages a second that the database stores in full batches: the rows of an accept, one statement for each batch, over the
    /// best number of connections.
    async fn raw_limit(&mut self) -> anyhow::Result<f64> {
        let mut best: f64 = 0.0;
        for connections in RAW_CONNECTIONS {
            let store = self.databases.create(Kind::Postgres).await?;
            self.trunkline.migrate(&store, self.directory()).await?;
            let rate = insert_batches(&store.url(), connections, self.options.seconds / 2).await?;
            self.databases.remove(store).await?;
            self.report.note(format!(
                "raw batches of {BATCH} over {connections} connections: {rate:.0}/s"
            ));
            best = best.max(rate);
        }
        Ok(best)
    }
}

/// Whether a run kept up with the offered rate.
fn keeps_up(plan: &Plan, rate: f64, accepted: u64, middle: u64, end: u64) -> bool {
    let offered = rate * plan.lasts.as_secs_f64();
    let growth_max = rate * GROWTH_MAX.as_secs_f64();
    accepted as f64 >= 0.98 * offered && end as f64 <= middle as f64 + growth_max
}

async fn insert_batches(url: &str, connections: usize, lasts: Duration) -> anyhow::Result<f64> {
    let clock = Arc::new(SystemClock::new());
    let store = store::open(url, Arc::clone(&clock) as Arc<dyn Clock>)?;
    let accepts = Arc::new(Accepts::new(Arc::clone(&clock))?);
    let (began, mut writers) = (clock.monotonic(), tokio::task::JoinSet::new());
    for _ in 0..connections {
        let (store, accepts, clock) = (Arc::clone(&store), Arc::clone(&accepts), Arc::clone(&clock));
        writers.spawn(async move {
            let mut stored = 0;
            while clock.monotonic() - began < lasts {
                stored += store.accept(&accepts.batch(BATCH)).await?.len();
            }
            anyhow::Ok(stored)
        });
    }
    let mut stored = 0;
    while let Some(writer) = writers.join_next().await {
        stored += writer??;
    }
    Ok(stored as f64 / (clock.monotonic() - began).as_secs_f64())
}
