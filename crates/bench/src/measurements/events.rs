use std::time::Duration;

use anyhow::{Context, ensure};
use domain::Clock;
use serde_json::{Value, json};

use super::{Bench, PAIRS, ROUNDS, run::Run};
use crate::{
    load::{Connection, Pace, Streams, drive},
    report::{Row, Target},
    subjects::{Contents, Kind, Server, Sink, drain},
};

const CONNECTIONS: usize = 64;
const WEBHOOKS_MIN: f64 = 2_000.0;
/// Of the rate without an endpoint.
const END_TO_END_MIN: f64 = 0.8;
const STREAMS: usize = 200;
/// Streams whose delays are measured: all would need the processors that the service needs.
const MEASURING: usize = 10;
const MESSAGES_PER_SECOND: f64 = 500.0;
const SEEN_P95_MAX_MS: f64 = 100.0;
const DELIVERED_MAX: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(20);
/// An accept and a dispatch; and one for each conversation.
const EVENTS_PER_MESSAGE: u64 = 2;

impl Bench {
    /// Webhooks to an endpoint that takes everything, what they cost, and how late streams are.
    pub(super) async fn events(&mut self) -> anyhow::Result<()> {
        self.end_to_end_with_an_endpoint().await?;
        for kind in self.options.kinds.clone() {
            self.streams(kind).await?;
        }
        Ok(())
    }

    async fn end_to_end_with_an_endpoint(&mut self) -> anyhow::Result<()> {
        let (mut rounds, mut audits, mut rates) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let plan = self.plan(CONNECTIONS, Pace::Closed, PAIRS);
            let without = self.run_before(&plan).await?;
            let sink = Sink::start()?;
            let store = self.databases.create(Kind::Postgres).await?;
            let server = self.trunkline.start(&store, self.directory(), &[]).await?;
            let path = register(&server, &sink).await?;
            let with = self.run_on(&server, &store, &plan).await?;
            let behind = self.until_delivered(&sink, &with).await?;
            self.report.note(format!(
                "  the last webhook came {behind:.1} s after the last dispatch"
            ));
            rates.push(self.replay(&server, &sink, &path).await?);
            server.stop().await?;
            self.databases.remove(store).await?;
            rounds.push((with.end_to_end(), without.end_to_end()));
            audits.extend([with.audit, without.audit]);
        }
        rounds.sort_by(|one, other| (one.0 / one.1).total_cmp(&(other.0 / other.1)));
        rates.sort_by(f64::total_cmp);
        let (with, without) = rounds[ROUNDS / 2];
        let against = if self.options.before.is_some() {
            "the program before"
        } else {
            "none"
        };
        let name = format!("g: end to end with one endpoint, against {against}");
        let row = Row::new(name, "messages/s", with, Target::RatioAtLeast(END_TO_END_MIN));
        self.report.add(row.against(without).provided(audits));
        let name = "g: webhooks to one endpoint, in a replay";
        let row = Row::new(
            name,
            "webhooks/s",
            rates[ROUNDS / 2],
            Target::AtLeast(WEBHOOKS_MIN),
        );
        self.report.add(row);
        Ok(())
    }

    /// Waits for the webhooks of a run. Returns the seconds.
    async fn until_delivered(&self, sink: &Sink, run: &Run) -> anyhow::Result<f64> {
        let began = self.clock.monotonic();
        let all = async {
            while sink.taken() < run.tally.accepted * EVENTS_PER_MESSAGE {
                tokio::time::sleep(POLL).await;
            }
        };
        let delivered = tokio::time::timeout(DELIVERED_MAX, all).await;
        delivered.with_context(|| format!("only {} webhooks arrived", sink.taken()))?;
        Ok(self.ms_since(began) / 1_000.0)
    }

    /// Webhooks a second while nothing else happens: all events are sent again.
    async fn replay(&self, server: &Server, sink: &Sink, path: &str) -> anyhow::Result<f64> {
        let events = self.until_quiet(sink).await;
        let before = sink.taken();
        let began = self.clock.monotonic();
        ask(
            server,
            &format!("{path}/replay"),
            &json!({"after": "0000000000000000"}),
        )
        .await?;
        let all = async {
            while sink.taken() < before + events {
                tokio::time::sleep(POLL).await;
            }
        };
        let replayed = tokio::time::timeout(DELIVERED_MAX, all).await;
        replayed.with_context(|| format!("only {} of {events} webhooks arrived", sink.taken() - before))?;
        Ok(events as f64 * 1_000.0 / self.ms_since(began))
    }

    /// Waits until no webhook arrives any more, and returns their number.
    async fn until_quiet(&self, sink: &Sink) -> u64 {
        loop {
            let taken = sink.taken();
            tokio::time::sleep(Duration::from_millis(500)).await;
            if sink.taken() == taken {
                return taken;
            }
        }
    }

    async fn streams(&mut self, kind: Kind) -> anyhow::Result<()> {
        let store = self.databases.create(kind).await?;
        let server = self.trunkline.start(&store, self.directory(), &[]).await?;
        let streams = Streams::open(&server.authority, STREAMS, MEASURING).await?;
        let pace = Pace::Open {
            rate: MESSAGES_PER_SECOND,
        };
        let tally = drive(&server.authority, &self.plan(CONNECTIONS, pace, PAIRS)).await?;
        drain(&store, &self.clock, DELIVERED_MAX).await?;
        // The last events are on their way.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let seen = streams.stop().await?;
        let audit = Contents::read(&store).await?.check_dispatched(&[&tally]);
        server.stop().await?;
        self.databases.remove(store).await?;
        let complete = (|| {
            let expected = tally.accepted * EVENTS_PER_MESSAGE;
            ensure!(
                seen.events_min >= expected,
                "a reader saw {} of at least {expected} events",
                seen.events_min
            );
            Ok(())
        })();
        self.report.note(format!(
            "{STREAMS} streams beside {MESSAGES_PER_SECOND}/s on {kind}: {}; events seen after p50 {:.1} ms, p95 {:.1}, p99 {:.1}",
            tally.line(),
            seen.quantile_ms(0.5),
            seen.quantile_ms(0.95),
            seen.quantile_ms(0.99)
        ));
        let name = format!("g: event seen on {STREAMS} streams beside {MESSAGES_PER_SECOND}/s, p95, {kind}");
        let row = Row::new(
            name,
            "ms",
            seen.quantile_ms(0.95),
            Target::AtMost(SEEN_P95_MAX_MS),
        );
        self.report.add(row.provided([audit, complete]));
        Ok(())
    }
}

/// Makes the sink an endpoint, and returns the path of it.
async fn register(server: &Server, sink: &Sink) -> anyhow::Result<String> {
    let endpoint = ask(server, "/api/webhook-endpoints", &json!({ "url": sink.url })).await?;
    let id = endpoint["id"].as_str().context("an endpoint without an id")?;
    Ok(format!("/api/webhook-endpoints/{id}"))
}

async fn ask(server: &Server, path: &str, body: &Value) -> anyhow::Result<Value> {
    let mut connection = Connection::open(&server.authority).await?;
    let (status, answer) = connection.post(&server.authority, path, body).await?;
    ensure!((200..300).contains(&status), "{path}: {status} {answer}");
    Ok(serde_json::from_str(&answer)?)
}
