use std::collections::BTreeMap;

use domain::Script;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::stream::SeenEvents;
use crate::{
    client::{Api, ApiAnswer},
    terminal::{Paint, Table, grouped, harmless},
};

/// What happened so far, as the demo counts it and as the service reports it.
#[derive(Debug, Default, Serialize)]
pub(super) struct DemoCounts {
    pub(super) seed: u64,
    pub(super) seconds: u64,
    /// Accepted messages of the shop.
    pub(super) sent: u64,
    /// Accepted messages of the contacts.
    pub(super) received: u64,
    /// Answers 429 and 503.
    pub(super) rate_limited: u64,
    /// Messages that were not sent, for lack of room or time.
    pub(super) held_back: u64,
    /// Refused messages by code.
    pub(super) refused: BTreeMap<String, u64>,
    /// Requests without an answer.
    pub(super) unanswered: u64,
    /// All conversations of the service.
    pub(super) conversations: u64,
    /// What the stream of events has brought, by type.
    #[serde(serialize_with = "counts")]
    pub(super) events: SeenEvents,
    pub(super) providers: Vec<ProviderTally>,
}

fn counts<S: Serializer>(events: &SeenEvents, serializer: S) -> Result<S::Ok, S::Error> {
    events.counts.serialize(serializer)
}

/// A provider: its state now, and how its attempts ended since the demo began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct ProviderTally {
    name: String,
    breaker: String,
    cooldown_secs: u64,
    success: u64,
    rate_limited: u64,
    error: u64,
    timeout: u64,
    unknown: u64,
    waiting: u64,
    leased: u64,
    dead: u64,
}

impl ProviderTally {
    pub(super) fn of(report: &Value) -> Self {
        let text = |value: &Value| harmless(value.as_str().unwrap_or_default());
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let (breaker, queue, counts) = (&report["breaker"], &report["queue"], &report["counts"]);
        Self {
            name: text(&report["name"]),
            breaker: text(&breaker["state"]),
            cooldown_secs: number(&breaker["cooldown_remaining_ms"]).div_ceil(1_000),
            success: number(&counts["success"]),
            rate_limited: number(&counts["rate_limited"]),
            error: number(&counts["error"]),
            timeout: number(&counts["timeout"]),
            unknown: number(&counts["unknown"]),
            waiting: number(&queue["waiting"]),
            leased: number(&queue["leased"]),
            dead: number(&queue["dead"]),
        }
    }

    /// The counts since `before`. A service that restarted counts from zero.
    fn since(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before {
            for (count, earlier) in [
                (&mut self.success, before.success),
                (&mut self.rate_limited, before.rate_limited),
                (&mut self.error, before.error),
                (&mut self.timeout, before.timeout),
                (&mut self.unknown, before.unknown),
            ] {
                *count = count.checked_sub(earlier).unwrap_or(*count);
            }
        }
        self
    }
}

impl DemoCounts {
    /// Reads the service's state. Without an answer the values stay.
    pub(super) async fn look(&mut self, api: &Api, before: &[ProviderTally]) {
        if let Ok(ApiAnswer::Done(reports)) = api.get("/api/providers", &[]).await {
            self.providers = providers(&reports)
                .map(|now| {
                    let earlier = before.iter().find(|before| before.name == now.name);
                    now.since(earlier)
                })
                .collect();
        }
        let one = [("pageSize", "1".to_owned())];
        if let Ok(ApiAnswer::Done(page)) = api.get("/api/conversations", &one).await {
            self.conversations = page["meta"]["total"].as_u64().unwrap_or_default();
        }
    }

    /// Some lines that fit a terminal.
    pub(super) fn shown(&self, paint: Paint) -> String {
        let rate = |count: u64| {
            let tenths = count * 10 / self.seconds.max(1);
            format!("{}.{}/s", tenths / 10, tenths % 10)
        };
        let mut shown = format!(
            "sent {} ({})   received {} ({})   conversations {}\n",
            paint.good(&grouped(self.sent)),
            rate(self.sent),
            paint.good(&grouped(self.received)),
            rate(self.received),
            grouped(self.conversations)
        );
        shown.push_str(&format!(
            "rate limited {}   held back {}   unanswered {}   refused {}\n",
            grouped(self.rate_limited),
            grouped(self.held_back),
            grouped(self.unanswered),
            self.refusals()
        ));
        shown.push_str(&format!(
            "through the stream: dispatched {}   delivered {}   undelivered {}   failed {}   replies {}\n",
            self.seen("message.dispatched"),
            paint.good(&self.seen("message.delivered")),
            self.seen("message.undelivered"),
            self.seen("message.failed"),
            paint.good(&self.seen("message.received"))
        ));
        let mut table = Table::new(&[
            "provider", "success", "429", "error", "timeout", "unknown", "waiting", "leased", "dead",
            "breaker",
        ]);
        for provider in &self.providers {
            let breaker = match (provider.breaker.as_str(), provider.cooldown_secs) {
                ("closed", _) => paint.good("closed"),
                ("open", secs) => paint.bad(&format!("open, {secs} s")),
                (state, _) => paint.unsure(state),
            };
            let counts = [
                provider.success,
                provider.rate_limited,
                provider.error,
                provider.timeout,
                provider.unknown,
                provider.waiting,
                provider.leased,
                provider.dead,
            ];
            let cells = std::iter::once(provider.name.clone()).chain(counts.map(grouped));
            table.row(cells.chain([breaker]));
        }
        shown + &table.render(paint)
    }

    /// The same on one line.
    pub(super) fn line(&self) -> String {
        let providers: Vec<String> = self
            .providers
            .iter()
            .map(|provider| {
                format!(
                    "{} {} {} ok {} failed {} waiting",
                    provider.name,
                    provider.breaker,
                    provider.success,
                    provider.error + provider.timeout + provider.unknown,
                    provider.waiting
                )
            })
            .collect();
        format!(
            "{:>4} s  sent {}  delivered {}  received {}  conversations {}  {}\n",
            self.seconds,
            self.sent,
            self.seen("message.delivered"),
            self.received,
            self.conversations,
            providers.join("  ")
        )
    }

    /// How many events of this type the stream has brought.
    fn seen(&self, kind: &str) -> String {
        grouped(self.events.counts.get(kind).copied().unwrap_or_default())
    }

    fn refusals(&self) -> String {
        if self.refused.is_empty() {
            return "0".to_owned();
        }
        let told = |(code, count): (&String, &u64)| format!("{} {code}", grouped(*count));
        self.refused.iter().map(told).collect::<Vec<_>>().join(", ")
    }
}

/// The configured providers: the demo sends nothing to scripted recipients.
pub(super) fn configured(reports: &Value) -> impl Iterator<Item = &Value> {
    let items = reports["items"].as_array().into_iter().flatten();
    items.filter(|report| report["name"] != Script::provider().as_str())
}

pub(super) fn providers(reports: &Value) -> impl Iterator<Item = ProviderTally> {
    configured(reports).map(ProviderTally::of)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(success: u64) -> Value {
        json!({"name": "email", "channels": ["email"], "breaker": {"state": "open", "cooldown_remaining_ms": 1_001},
               "queue": {"waiting": 3, "leased": 2, "dead": 1},
               "counts": {"success": success, "rate_limited": 0, "error": 5, "timeout": 0, "unknown": 0}})
    }

    #[test]
    fn counts_are_those_since_the_beginning() {
        let (before, now) = (ProviderTally::of(&report(10)), ProviderTally::of(&report(17)));
        let since = now.clone().since(Some(&before));
        assert_eq!((since.success, since.error, since.waiting), (7, 0, 3));
        assert_eq!(now.clone().since(None), now);
        // The service restarted.
        let restarted = ProviderTally::of(&report(4)).since(Some(&before));
        assert_eq!(restarted.success, 4);
    }

    #[test]
    fn everything_is_on_lines_that_fit() {
        let mut counts = DemoCounts {
            seconds: 10,
            sent: 1_234,
            received: 99,
            conversations: 20,
            providers: vec![ProviderTally::of(&report(17))],
            ..DemoCounts::default()
        };
        counts.refused.insert("no_provider".to_owned(), 2);
        let shown = counts.shown(Paint::NONE);
        assert!(
            shown.contains("sent 1,234 (123.4/s)   received 99 (9.9/s)"),
            "{shown}"
        );
        assert!(shown.contains("refused 2 no_provider"), "{shown}");
        assert!(shown.contains("open, 2 s"), "{shown}");
        assert!(shown.lines().all(|line| line.len() < 100), "{shown}");
    }
}
