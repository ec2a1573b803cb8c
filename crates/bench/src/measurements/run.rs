//! One load on one server on one fresh database, audited.

use std::time::Duration;

use domain::Clock;

use super::{Bench, PAIRS};
use crate::{
    load::{Pace, Plan, Tally, drive},
    subjects::{Contents, Cpu, Kind, Server, Store, Trunkline, best_pool, drain, start_baseline},
};

const WARM_UP: Duration = Duration::from_secs(1);
const WARM_UP_CONNECTIONS: usize = 16;
const DRAIN_MAX: Duration = Duration::from_secs(900);

/// The result of a load on a server.
pub(super) struct Run {
    pub(super) tally: Tally,
    /// How long the backlog took to drain after the load; zero for the baseline, which dispatches nothing.
    pub(super) drained: Duration,
    /// Whether every acknowledged message is stored once and was dispatched once.
    pub(super) audit: anyhow::Result<()>,
}

impl Run {
    /// Messages a second from the first request to the last dispatch.
    pub(super) fn end_to_end(&self) -> f64 {
        self.tally.accepted as f64 / (self.tally.took + self.drained).as_secs_f64()
    }
}

impl Bench {
    /// Puts a load on the program on a fresh database, lets it drain, and audits the database.
    pub(super) async fn run_trunkline(&mut self, kind: Kind, plan: &Plan) -> anyhow::Result<Run> {
        let trunkline = self.trunkline.clone();
        self.run_program(&trunkline, kind, plan).await
    }

    /// The same with the program before, if one is given.
    pub(super) async fn run_before(&mut self, plan: &Plan) -> anyhow::Result<Run> {
        let before = self.options.before.clone();
        let before = before.unwrap_or_else(|| self.trunkline.clone());
        self.run_program(&before, Kind::Postgres, plan).await
    }

    async fn run_program(&mut self, program: &Trunkline, kind: Kind, plan: &Plan) -> anyhow::Result<Run> {
        let store = self.databases.create(kind).await?;
        let server = program.start(&store, self.directory(), &[]).await?;
        let run = self.run_on(&server, &store, plan).await?;
        server.stop().await?;
        self.databases.remove(store).await?;
        Ok(run)
    }

    /// The same on a running server. Its database may hold messages, but no backlog.
    pub(super) async fn run_on(
        &mut self,
        server: &Server,
        store: &Store,
        plan: &Plan,
    ) -> anyhow::Result<Run> {
        let before = Contents::read(store).await?;
        let (warm, tally, cpu) = self.load(server, plan).await?;
        let drained = drain(store, &self.clock, DRAIN_MAX).await?;
        let contents = Contents::read(store).await?.since(before);
        let label = format!("trunkline on {}, {}", store.kind(), describe(plan));
        self.note_load(&label, &tally, cpu);
        self.report.note(format!(
            "  backlog drained in {:.1} s; end to end {:.0}/s",
            drained.as_secs_f64(),
            tally.accepted as f64 / (tally.took + drained).as_secs_f64()
        ));
        Ok(Run {
            audit: contents.check_dispatched(&[&warm, &tally]),
            tally,
            drained,
        })
    }

    /// Puts the same load on the baseline.
    pub(super) async fn run_baseline(&mut self, plan: &Plan) -> anyhow::Result<Run> {
        let store = self.databases.create(Kind::Postgres).await?;
        self.trunkline.migrate(&store, self.directory()).await?;
        let pool = self
            .options
            .baseline_pool
            .unwrap_or_else(|| best_pool(plan.shape.pairs, plan.connections));
        let server = start_baseline(&store, self.directory(), pool).await?;
        let (warm, tally, cpu) = self.load(&server, plan).await?;
        let audit = Contents::read(&store).await?.check_stored(&[&warm, &tally]);
        server.kill().await?;
        self.note_load(&format!("baseline, {}", describe(plan)), &tally, cpu);
        self.databases.remove(store).await?;
        Ok(Run {
            tally,
            drained: Duration::ZERO,
            audit,
        })
    }

    async fn load(&self, server: &Server, plan: &Plan) -> anyhow::Result<(Tally, Tally, Cpu)> {
        let mut warm_up = self.plan(WARM_UP_CONNECTIONS, Pace::Closed, plan.shape.pairs.min(PAIRS));
        warm_up.lasts = WARM_UP;
        warm_up.shape.run = plan.shape.run.wrapping_add(1);
        let warm = drive(&server.authority, &warm_up).await?;
        let before = Cpu::now(server.id(), self.databases.postmaster());
        let tally = drive(&server.authority, plan).await?;
        let cpu = Cpu::now(server.id(), self.databases.postmaster()).since(before);
        Ok((warm, tally, cpu))
    }

    fn note_load(&mut self, label: &str, tally: &Tally, cpu: Cpu) {
        self.report.note(format!("{label}: {}", tally.line()));
        self.report
            .note(format!("  {}", cpu.line(tally.took, tally.accepted)));
    }

    /// Milliseconds since an origin of this process.
    pub(super) fn ms_since(&self, began: Duration) -> f64 {
        (self.clock.monotonic() - began).as_secs_f64() * 1_000.0
    }
}

fn describe(plan: &Plan) -> String {
    let Plan {
        connections, shape, ..
    } = plan;
    let pace = match plan.pace {
        Pace::Closed => "closed loop".to_owned(),
        Pace::Open { rate } => format!("{rate:.0}/s"),
    };
    format!("{connections} connections, {} pairs, {pace}", shape.pairs)
}
