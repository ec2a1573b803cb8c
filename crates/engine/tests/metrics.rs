//! What a node shows before anything has happened.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod world;

use std::{collections::BTreeSet, fmt::Display};

use domain::{
    Channel, ConversationChannel, Direction, DisabledReason, FailureReason, Outcome, ReceiptStatus, Status,
};
use trunkline_engine::Limit;

use world::{World, email, settings};

#[tokio::test(start_paused = true)]
async fn every_series_whose_labels_are_known_exists_from_the_start_at_0() {
    let world = World::new(settings()).await;
    let shown: BTreeSet<String> = world
        .engine
        .metrics()
        .render()
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("_bucket") && !line.contains("_sum"))
        .map(str::to_owned)
        .collect();
    let mut expected = BTreeSet::new();
    let mut expect = |name: &str, labels: &[&str], value: &str| {
        let labels = match labels.len() {
            0 => String::new(),
            _ => format!("{{{}}}", labels.join(",")),
        };
        expected.insert(format!("trunkline_{name}{labels} {value}"));
    };
    let label = |name: &str, value: &dyn Display| format!("{name}=\"{value}\"");
    for provider in ["sms-mms", "email"] {
        let by = label("provider", &provider);
        let channels = Channel::ALL
            .iter()
            .filter(|channel| (**channel == Channel::Email) == (provider == "email"));
        for channel in channels {
            for outcome in Outcome::ALL {
                let (channel, outcome) = (label("channel", channel), label("outcome", outcome));
                expect("dispatch_attempts_total", &[&by, &channel, &outcome], "0");
            }
        }
        for reason in FailureReason::ALL {
            expect("dead_letters_total", &[&by, &label("reason", reason)], "0");
        }
        for (state, value) in [("closed", "1"), ("open", "0"), ("half_open", "0")] {
            expect("breaker_state", &[&by, &label("state", &state)], value);
        }
        for (from, to) in [
            ("closed", "open"),
            ("open", "half_open"),
            ("half_open", "open"),
            ("half_open", "closed"),
        ] {
            expect(
                "breaker_transitions_total",
                &[&by, &label("from", &from), &label("to", &to)],
                "0",
            );
        }
        for state in ["waiting", "leased", "dead"] {
            expect("outbox_depth", &[&by, &label("state", &state)], "0");
        }
        expect("outbox_oldest_seconds", &[&by], "0.0");
        expect("dispatch_short_circuited_total", &[&by], "0");
        expect("dispatch_latency_seconds_count", &[&by], "0");
        expect("settlements_set_aside", &[&by], "0");
    }
    for channel in Channel::ALL {
        for direction in Direction::ALL {
            let labels = [label("channel", channel), label("direction", direction)];
            expect(
                "messages_accepted_total",
                &labels.each_ref().map(String::as_str),
                "0",
            );
        }
    }
    for channel in ConversationChannel::ALL {
        let channel = label("channel", channel);
        expect("conversations_created_total", &[&channel], "0");
        expect("conversations_reused_total", &[&channel], "0");
        expect("conversation_failures_total", &[&channel], "0");
    }
    for limit in Limit::ALL {
        expect("rate_limited_total", &[&label("limit", &limit.as_str())], "0");
    }
    for status in ReceiptStatus::ALL {
        for result in ["applied", "kept"] {
            let labels = [label("status", status), label("result", &result)];
            expect("receipts_total", &labels.each_ref().map(String::as_str), "0");
        }
    }
    for result in ["met", "timed_out"] {
        expect("waits_total", &[&label("result", &result)], "0");
    }
    for reason in DisabledReason::ALL {
        expect(
            "webhook_endpoints_disabled_total",
            &[&label("reason", reason)],
            "0",
        );
    }
    for name in [
        "invalid_routing_total",
        "idempotent_replays_total",
        "inbound_conflicts_total",
        "messages_canceled_total",
        "receipts_matched_later_total",
        "receipts_unmatched",
        "waits_under_way",
        "event_lag_seconds_count",
    ] {
        expect(name, &[], "0");
    }
    expect("commit_batch_messages_count", &[], "0");
    expect("commit_seconds_count", &[], "0");
    assert_eq!(shown, expected);
}

#[tokio::test(start_paused = true)]
async fn a_removed_provider_has_counters_and_no_breaker() {
    let world = World::new(settings()).await;
    let id = world.sent(email("hello")).await;
    world.until(id, Status::Dispatched).await;
    assert!(world.engine.remove_provider(&"email".parse().unwrap()).await);
    let text = world.engine.metrics().render().unwrap();
    let shows = |start: &str| text.lines().any(|line| line.starts_with(start));
    assert!(shows("trunkline_breaker_state{provider=\"sms-mms\""));
    assert!(!shows("trunkline_breaker_state{provider=\"email\""));
    let success =
        "trunkline_dispatch_attempts_total{provider=\"email\",channel=\"email\",outcome=\"success\"} 1";
    assert!(shows(success));
}
