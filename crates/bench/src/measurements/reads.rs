use anyhow::{Context, ensure};
use domain::Clock;
use hdrhistogram::Histogram;
use serde_json::Value;

use super::{
    Bench,
    fill::{CONVERSATIONS_PER_PARTICIPANT, Fill, settle},
};
use crate::{
    load::Connection,
    report::{Row, Target},
    subjects::{Kind, Server, Store},
};

const FEW: u64 = 10_000;
const MANY: u64 = 1_000_000;
/// Messages of the conversation that is read.
const LONG: u64 = 1_000;
/// Pages before the one that is timed; [`FEW`] has 200.
const DEPTH: usize = 100;
const REPEATS: u64 = 300;
const RATIO_MAX: f64 = 1.5;

/// A page that is read, and the items it must have at least.
#[derive(Clone, Copy)]
struct Read {
    what: &'static str,
    path: fn(&Side, u64) -> String,
    items: usize,
}

const READS: [Read; 5] = [
    Read {
        what: "first page",
        path: |_, _| page(None),
        items: 50,
    },
    Read {
        what: "page by cursor at depth 100",
        path: |side, _| page(Some(&side.cursor)),
        items: 50,
    },
    Read {
        what: "conversations of a participant",
        path: |side, round| {
            let participant = scattered(round, side.conversations / CONVERSATIONS_PER_PARTICIPANT);
            format!("/api/conversations?participant=%2B1404{participant:07}")
        },
        items: 20,
    },
    Read {
        what: "messages of a long conversation",
        path: |_, _| "/api/conversations/1/messages?pageSize=50".to_owned(),
        items: 50,
    },
    Read {
        what: "messages of some conversation",
        path: |side, round| {
            let conversation = scattered(round, side.conversations) + 1;
            format!("/api/conversations/{conversation}/messages")
        },
        items: 1,
    },
];

/// A server on a store of some size.
struct Side {
    conversations: u64,
    store: Store,
    server: Server,
    connection: Connection,
    /// The cursor behind the page at [`DEPTH`].
    cursor: String,
}

impl Bench {
    /// Whether reading a page takes the same time on a large store. Both servers run and are asked in turn, so that disturbances
    /// of the machine hit both.
    pub(crate) async fn reads(&mut self) -> anyhow::Result<()> {
        for kind in self.options.kinds.clone() {
            let mut few = self.side(kind, FEW).await?;
            let mut many = self.side(kind, MANY).await?;
            // The server hung up while the other one's store was filled.
            few.connection = Connection::open(&few.server.authority).await?;
            for read in READS {
                let (mut on_few, mut on_many) = (histogram()?, histogram()?);
                for round in 0..REPEATS {
                    self.time(read, round, &mut few, &mut on_few).await?;
                    self.time(read, round, &mut many, &mut on_many).await?;
                }
                for (quantile, shown, target) in [
                    (0.5, "p50", Target::RatioAtMost(RATIO_MAX)),
                    (0.95, "p95", Target::Reported),
                ] {
                    let ms =
                        |latencies: &Histogram<u64>| latencies.value_at_quantile(quantile) as f64 / 1_000.0;
                    let name = format!("g: {}, {shown}, {MANY} against {FEW}, {kind}", read.what);
                    self.report
                        .add(Row::new(name, "ms", ms(&on_many), target).against(ms(&on_few)));
                }
            }
            for side in [few, many] {
                side.server.stop().await?;
                self.databases.remove(side.store).await?;
            }
        }
        Ok(())
    }

    async fn side(&mut self, kind: Kind, conversations: u64) -> anyhow::Result<Side> {
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
        let connection = Connection::open(&server.authority).await?;
        let mut side = Side {
            conversations,
            store,
            server,
            connection,
            cursor: String::new(),
        };
        side.walk().await?;
        Ok(side)
    }

    async fn time(
        &self,
        read: Read,
        round: u64,
        side: &mut Side,
        latencies: &mut Histogram<u64>,
    ) -> anyhow::Result<()> {
        let path = (read.path)(side, round);
        let began = self.clock.monotonic();
        let body = side.get(&path).await?;
        latencies.saturating_record((self.ms_since(began) * 1_000.0) as u64);
        let answer: Value = serde_json::from_str(&body)?;
        let found = answer["items"].as_array().map_or(0, Vec::len);
        ensure!(found >= read.items, "{path} has {found} items: {answer}");
        Ok(())
    }
}

impl Side {
    async fn walk(&mut self) -> anyhow::Result<()> {
        let mut cursor = None;
        for _ in 0..DEPTH {
            let answer: Value = serde_json::from_str(&self.get(&page(cursor.as_deref())).await?)?;
            let next = answer["meta"]["next_cursor"].as_str();
            cursor = Some(next.context("there are more pages")?.to_owned());
        }
        self.cursor = cursor.unwrap_or_default();
        Ok(())
    }

    async fn get(&mut self, path: &str) -> anyhow::Result<String> {
        let (status, body) = self.connection.get(&self.server.authority, path).await?;
        ensure!(status == 200, "{path}: {status} {body}");
        Ok(body)
    }
}

/// Another one each time, all over the table.
fn scattered(round: u64, of: u64) -> u64 {
    round * 7_919 % of
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(60_000_000, 3)?)
}

fn page(cursor: Option<&str>) -> String {
    let path = "/api/conversations?pageSize=50".to_owned();
    cursor.map_or(path.clone(), |cursor| format!("{path}&cursor={cursor}"))
}
