use std::time::Duration;

use super::{
    Bench, PAIRS,
    fill::{Fill, settle},
};
use crate::{
    load::{Pace, Tally, drive},
    report::{Row, Target},
    subjects::{Contents, Kind, Server, Store, backlog, drain, memory_mib},
};

const MESSAGES_PER_CONVERSATION: u64 = 5;
const CONNECTIONS: usize = 64;
/// How long the run with providers down lasts, in lengths of a load.
const DOWN_LENGTHS: u32 = 12;
const DOWN_RATE: f64 = 1_000.0;
/// Messages a second that arrive while the backlog drains.
const NEW_RATE: f64 = 100.0;
/// A rate, in messages a second, that a drain hardly exceeds.
const DRAIN_RATE: u64 = 10_000;
const DRAIN_MAX: Duration = Duration::from_secs(3_600);
/// Caches and pools may still fill after the first quarter of a run; memory for each message would need far more.
const MEMORY_GROWTH_MAX: f64 = 1.25;
/// A new message that waits for the backlog would wait minutes.
const NEW_P95_MAX_MS: f64 = 1_000.0;

impl Bench {
    /// Whether stored and waiting messages slow new ones down.
    pub(crate) async fn growth(&mut self) -> anyhow::Result<()> {
        for kind in self.options.kinds.clone() {
            self.rate_on_a_full_store(kind).await?;
            self.memory_while_providers_are_down(kind).await?;
            self.drain_of_a_backlog(kind).await?;
        }
        Ok(())
    }

    async fn rate_on_a_full_store(&mut self, kind: Kind) -> anyhow::Result<()> {
        let stored = self.options.stored;
        let plan = self.plan(CONNECTIONS, Pace::Closed, PAIRS);
        let empty = self.run_trunkline(kind, &plan).await?;
        let fill = Fill {
            conversations: stored.div_ceil(MESSAGES_PER_CONVERSATION),
            messages: stored,
            long: 0,
            due: false,
        };
        let store = self.filled(kind, fill).await?;
        let server = self.trunkline.start(&store, self.directory(), &[]).await?;
        let plan = self.plan(CONNECTIONS, Pace::Closed, PAIRS);
        let full = self.run_on(&server, &store, &plan).await?;
        server.stop().await?;
        self.databases.remove(store).await?;
        let (on_empty, on_full) = (empty.end_to_end(), full.end_to_end());
        let name = format!("h: accepted with {stored} messages stored, against none, {kind}");
        let row = Row::new(name, "messages/s", full.tally.rate(), Target::RatioAtLeast(0.8));
        self.report.add(
            row.against(empty.tally.rate())
                .provided([empty.audit, full.audit]),
        );
        let name = format!("h: end to end with {stored} messages stored, against none, {kind}");
        let row = Row::new(name, "messages/s", on_full, Target::RatioAtLeast(0.8));
        self.report.add(row.against(on_empty));
        Ok(())
    }

    /// Every call fails, the breaker opens, and the backlog grows on disk, not in memory.
    async fn memory_while_providers_are_down(&mut self, kind: Kind) -> anyhow::Result<()> {
        let store = self.databases.create(kind).await?;
        let down = [("API_PROVIDER_ERROR_PCT", "100")];
        let server = self.trunkline.start(&store, self.directory(), &down).await?;
        let mut plan = self.plan(CONNECTIONS, Pace::Open { rate: DOWN_RATE }, PAIRS);
        plan.lasts *= DOWN_LENGTHS;
        let early = async {
            tokio::time::sleep(plan.lasts / 4).await;
            memory_mib(server.id())
        };
        let (tally, early) = tokio::join!(drive(&server.authority, &plan), early);
        let (tally, late) = (tally?, memory_mib(server.id()));
        let contents = Contents::read(&store).await?;
        server.stop().await?;
        self.databases.remove(store).await?;
        self.report.note(format!(
            "providers down, {kind}: {}; {} messages wait",
            tally.line(),
            contents.waiting
        ));
        let name = format!("h: memory with providers down, end against first quarter, {kind}");
        let row = Row::new(name, "MiB", late, Target::RatioAtMost(MEMORY_GROWTH_MAX));
        self.report
            .add(row.against(early).provided([contents.check_stored(&[&tally])]));
        Ok(())
    }

    async fn drain_of_a_backlog(&mut self, kind: Kind) -> anyhow::Result<()> {
        let messages = self.options.backlog;
        let fill = Fill {
            conversations: u64::from(PAIRS),
            messages,
            long: 0,
            due: true,
        };
        let store = self.filled(kind, fill).await?;
        let before = Contents::read(&store).await?;
        let server = self.trunkline.start(&store, self.directory(), &[]).await?;
        let new = self.send_while_draining(&server, &store).await?;
        drain(&store, &self.clock, DRAIN_MAX).await?;
        let contents = Contents::read(&store).await?;
        let [p95_ms] = store.integers(new_waited(kind)).await?;
        let [took_ms] = store.integers(drain_took(kind)).await?;
        server.stop().await?;
        self.databases.remove(store).await?;
        let rate = messages as f64 * 1_000.0 / took_ms as f64;
        let added = contents.messages - before.messages;
        let audit = anyhow::Ok(()).and_then(|()| {
            anyhow::ensure!(added == new.accepted, "{added} of {} are stored", new.accepted);
            anyhow::ensure!(contents.dispatched == contents.messages, "not all are dispatched");
            anyhow::ensure!(
                contents.successes == contents.messages,
                "not one success for each"
            );
            Ok(())
        });
        let name = format!("h: a backlog of {messages} drains, {kind}");
        self.report
            .add(Row::new(name, "messages/s", rate, Target::Reported).provided([audit]));
        let name = format!("h: new messages during the drain, dispatched after, p95, {kind}");
        self.report.add(Row::new(
            name,
            "ms",
            p95_ms as f64,
            Target::AtMost(NEW_P95_MAX_MS),
        ));
        Ok(())
    }

    async fn send_while_draining(&mut self, server: &Server, store: &Store) -> anyhow::Result<Tally> {
        let mut plan = self.plan(16, Pace::Open { rate: NEW_RATE }, PAIRS);
        // As long as the drain is expected to last.
        plan.lasts = plan
            .lasts
            .max(Duration::from_secs(self.options.backlog / DRAIN_RATE));
        let tally = drive(&server.authority, &plan).await?;
        let waiting = backlog(store).await?;
        self.report.note(format!(
            "new messages while a backlog drains, {}: {}; {waiting} waited when the last was sent",
            store.kind(),
            tally.line()
        ));
        Ok(tally)
    }

    async fn filled(&mut self, kind: Kind, fill: Fill) -> anyhow::Result<Store> {
        let store = self.databases.create(kind).await?;
        self.trunkline.migrate(&store, self.directory()).await?;
        eprintln!("  generating {} messages on {kind}", fill.messages);
        fill.fill(&store).await?;
        settle(&store).await?;
        Ok(store)
    }
}

/// The milliseconds from the first attempt of a generated message to the last.
fn drain_took(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => {
            "select (extract(epoch from max(occurred_at) - min(occurred_at)) * 1000)::bigint
             from messages join attempts on attempts.message_id = messages.id where recipient like '+1505%'"
        }
        Kind::Sqlite => {
            "select (max(occurred_at) - min(occurred_at)) / 1000
             from messages join attempts on attempts.message_id = messages.id where recipient like '+1505%'"
        }
    }
}

/// The milliseconds from acceptance to dispatch that 95 % of the new messages did not exceed. Generated messages start with the
/// recipients of another area code.
fn new_waited(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => {
            "select (extract(epoch from percentile_disc(0.95) within group (order by occurred_at - processed_at)) * 1000)::bigint
             from messages join attempts on attempts.message_id = messages.id where recipient like '+1303%'"
        }
        Kind::Sqlite => {
            "with waited as (
                 select occurred_at - processed_at as micros
                 from messages join attempts on attempts.message_id = messages.id where recipient like '+1303%'
             )
             select micros / 1000 from waited order by micros
             limit 1 offset (select count(*) * 95 / 100 from waited)"
        }
    }
}
