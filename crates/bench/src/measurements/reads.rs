use anyhow::{Context, ensure};
use domain::Clock;
use hdrhistogram::Histogram;
use serde_json::Value;

use super::{
    Bench,
    fill::{Fill, settle},
};
use crate::{
    load::{Authority, Connection},
    report::{Row, Target},
    subjects::{Kind, Server},
};

const FEW: u64 = 10_000;
const MANY: u64 = 1_000_000;
/// Messages of the conversation that is read.
const LONG: u64 = 1_000;
/// Pages the cursor is walked before the page that is timed; there are 200 in [`FEW`].
const DEPTH: usize = 100;
const REPEATS: usize = 300;
const RATIO_MAX: f64 = 1.5;

/// How long a request takes, in milliseconds.
struct Timing {
    what: &'static str,
    p50: f64,
    p95: f64,
}

impl Bench {
    /// Whether pages take the same time however much is stored.
    pub(crate) async fn reads(&mut self) -> anyhow::Result<()> {
        for kind in self.options.kinds.clone() {
            let few = self.read_timings(kind, FEW).await?;
            let many = self.read_timings(kind, MANY).await?;
            for (few, many) in few.iter().zip(&many) {
                let name = |quantile| format!("g: {}, {quantile}, {MANY} against {FEW}, {kind}", few.what);
                let row = Row::new(name("p50"), "ms", many.p50, Target::RatioAtMost(RATIO_MAX));
                self.report.add(row.against(few.p50));
                let row = Row::new(name("p95"), "ms", many.p95, Target::Reported);
                self.report.add(row.against(few.p95));
            }
        }
        Ok(())
    }

    async fn read_timings(&mut self, kind: Kind, conversations: u64) -> anyhow::Result<Vec<Timing>> {
        let store = self.databases.create(kind).await?;
        self.trunkline.migrate(&store, self.directory()).await?;
        let began = self.clock.monotonic();
        let fill = Fill {
            conversations,
            messages: conversations,
            long: LONG,
            due: false,
        };
        fill.fill(&store).await?;
        settle(&store).await?;
        let filled_s = self.ms_since(began) / 1_000.0;
        self.report.note(format!(
            "{kind}: {conversations} conversations generated in {filled_s:.0} s"
        ));
        let server = self.trunkline.start(&store, self.directory(), &[]).await?;
        let timings = self.time_reads(&server, conversations).await?;
        server.stop().await?;
        self.databases.remove(store).await?;
        Ok(timings)
    }

    async fn time_reads(&self, server: &Server, conversations: u64) -> anyhow::Result<Vec<Timing>> {
        let mut reader = Reader {
            connection: Connection::open(&server.authority).await?,
            authority: &server.authority,
        };
        let mut cursor = None;
        for _ in 0..DEPTH {
            let page = reader.get(&page(cursor.as_deref())).await?;
            let next = page["meta"]["next_cursor"].as_str();
            cursor = Some(next.context("there are more pages")?.to_owned());
        }
        let deep = page(cursor.as_deref());
        // Another one each time, all over the table.
        let participant = |round: usize| {
            let number =
                (round as u64 * 7_919) % (conversations / super::fill::CONVERSATIONS_PER_PARTICIPANT);
            format!("/api/conversations?participant=%2B1404{number:07}")
        };
        let one = |round: usize| {
            format!(
                "/api/conversations/{}",
                (round as u64 * 7_919) % conversations + 1
            )
        };
        Ok(vec![
            self.time("first page", &mut reader, |_| page(None), 50).await?,
            self.time("page by cursor at depth 100", &mut reader, |_| deep.clone(), 50)
                .await?,
            self.time("conversations of a participant", &mut reader, participant, 20)
                .await?,
            self.time("messages of a long conversation", &mut reader, |_| thread(1), 50)
                .await?,
            self.time(
                "messages of some conversation",
                &mut reader,
                |round| one(round) + "/messages",
                1,
            )
            .await?,
        ])
    }

    /// Times a request, which must bring so many items.
    async fn time(
        &self,
        what: &'static str,
        reader: &mut Reader<'_>,
        path: impl Fn(usize) -> String,
        items: usize,
    ) -> anyhow::Result<Timing> {
        let mut latencies = Histogram::<u64>::new_with_max(60_000_000, 3)?;
        for round in 0..REPEATS {
            let path = path(round);
            let began = self.clock.monotonic();
            let body = reader.fetch(&path).await?;
            latencies.saturating_record((self.ms_since(began) * 1_000.0) as u64);
            let answer: Value = serde_json::from_str(&body)?;
            let found = answer["items"].as_array().map_or(0, Vec::len);
            ensure!(found >= items, "{path} has {found} items: {answer}");
        }
        let quantile = |quantile| latencies.value_at_quantile(quantile) as f64 / 1_000.0;
        Ok(Timing {
            what,
            p50: quantile(0.5),
            p95: quantile(0.95),
        })
    }
}

struct Reader<'a> {
    connection: Connection,
    authority: &'a Authority,
}

impl Reader<'_> {
    async fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.fetch(path).await?)?)
    }

    async fn fetch(&mut self, path: &str) -> anyhow::Result<String> {
        let (status, body) = self.connection.get(self.authority, path).await?;
        ensure!(status == 200, "{path}: {status} {body}");
        Ok(body)
    }
}

fn page(cursor: Option<&str>) -> String {
    let path = "/api/conversations?pageSize=50".to_owned();
    cursor.map_or(path.clone(), |cursor| format!("{path}&cursor={cursor}"))
}

fn thread(conversation: u64) -> String {
    format!("/api/conversations/{conversation}/messages?pageSize=50")
}
