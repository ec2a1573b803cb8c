//! The simulated providers from outside: through the port, and through what is configured and remembered.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use domain::{
    Address, Attachments, Body, Channel, Content, Entropy, ErrorCode, MessageId, Outcome, SystemClock,
    Timestamp,
};
use serde_json::{Value, json};
use tokio::time::timeout;
use trunkline_providers::{
    Call, Routes, SendResult,
    simulator::{
        EMAIL, SMS_MMS, Simulated, SimulatorConfig, SimulatorSettings, Simulators, SimulatorsError,
        provider_name,
    },
};

const DEADLINE: Duration = Duration::from_secs(5);
const RETRY_AFTER: Duration = Duration::from_millis(1_000);

/// Settings with a bit of everything.
fn mixed(seed: Option<u64>) -> SimulatorSettings {
    settings(json!({"timeout_pct": 10, "error_pct": 30, "ratelimit_pct": 10, "seed": seed}))
}

fn settings(config: Value) -> SimulatorSettings {
    SimulatorSettings {
        enabled_sms_mms: true,
        enabled_email: true,
        config: config_of(config),
        latency: Duration::ZERO,
        retry_after: RETRY_AFTER,
        ledger: None,
    }
}

fn config_of(value: Value) -> SimulatorConfig {
    value.try_into().unwrap()
}

fn started(settings: SimulatorSettings) -> Simulators {
    Simulators::new(settings, &Entropy::from_seed(1), Arc::new(SystemClock::new())).unwrap()
}

fn content(channel: Channel) -> Content {
    let address = match channel {
        Channel::Email => "secret@example.com",
        Channel::Sms | Channel::Mms => "+12016661234",
    };
    let address = Address::recipient(channel, address, None).unwrap();
    Content {
        channel,
        from: address.given.clone(),
        to: address.given,
        subject: None,
        body: Body::new("secret words").unwrap(),
        attachments: Attachments::default(),
    }
}

/// One call with the caller's deadline around it, as the engine makes it.
async fn call(simulators: &Simulators, channel: Channel) -> SendResult {
    let routes = Routes::new(simulators.providers()).unwrap();
    let content = content(channel);
    let call = Call {
        message_id: MessageId::mint(Timestamp::from_micros(0).unwrap(), &Entropy::from_seed(9)),
        attempt_number: 3,
        content: &content,
    };
    let provider = routes.serving(channel).unwrap();
    timeout(DEADLINE, provider.send(call))
        .await
        .unwrap_or(SendResult::Timeout)
}

async fn outcomes(simulators: &Simulators, channel: Channel, calls: usize) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for _ in 0..calls {
        outcomes.push(outcome(&call(simulators, channel).await));
    }
    outcomes
}

fn outcome(answer: &SendResult) -> Outcome {
    match answer {
        SendResult::Success { .. } => Outcome::Success,
        SendResult::RateLimited { .. } => Outcome::RateLimited,
        SendResult::Error { .. } | SendResult::Rejected { .. } => Outcome::Error,
        SendResult::Timeout => Outcome::Timeout,
    }
}

fn shares(outcomes: &[Outcome]) -> BTreeMap<Outcome, f64> {
    let mut shares = BTreeMap::new();
    for outcome in outcomes {
        *shares.entry(*outcome).or_insert(0.0) += 100.0 / outcomes.len() as f64;
    }
    shares
}

#[test]
fn names_are_where_webhooks_find_them() {
    assert_eq!((SMS_MMS, EMAIL), ("sms-mms", "email"));
    assert_eq!(provider_name(Channel::Mms), provider_name(Channel::Sms));
    assert_eq!(provider_name(Channel::Sms).as_str(), SMS_MMS);
    assert_eq!(provider_name(Channel::Email).as_str(), EMAIL);
}

#[test]
fn only_the_enabled_ones_are_providers() {
    for (enabled_sms_mms, enabled_email, expected) in [
        (true, true, vec![SMS_MMS, EMAIL]),
        (true, false, vec![SMS_MMS]),
        (false, true, vec![EMAIL]),
        (false, false, vec![]),
    ] {
        let settings = SimulatorSettings {
            enabled_sms_mms,
            enabled_email,
            ..mixed(None)
        };
        let providers = started(settings).providers();
        let names: Vec<_> = providers
            .iter()
            .map(|provider| provider.name().as_str())
            .collect();
        assert_eq!(names, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_seed_gives_the_same_outcomes_in_every_run() {
    let first = outcomes(&started(mixed(Some(42))), Channel::Sms, 200).await;
    for _ in 0..2 {
        assert_eq!(
            outcomes(&started(mixed(Some(42))), Channel::Sms, 200).await,
            first
        );
    }
    assert_ne!(
        outcomes(&started(mixed(Some(43))), Channel::Sms, 200).await,
        first
    );
    assert_ne!(
        outcomes(&started(mixed(Some(42))), Channel::Email, 200).await,
        first
    );
}

#[tokio::test(start_paused = true)]
async fn the_other_provider_does_not_disturb_a_sequence() {
    let alone = outcomes(&started(mixed(Some(42))), Channel::Sms, 100).await;
    let simulators = started(mixed(Some(42)));
    let mut interleaved = Vec::new();
    for i in 0..100 {
        outcomes(&simulators, Channel::Email, i % 3).await;
        // SMS and MMS share a provider, and so a sequence.
        let channel = if i % 2 == 0 { Channel::Sms } else { Channel::Mms };
        interleaved.push(outcome(&call(&simulators, channel).await));
    }
    assert_eq!(interleaved, alone);
}

#[tokio::test(start_paused = true)]
async fn calls_at_the_same_time_share_out_the_same_outcomes() {
    let alone = outcomes(&started(mixed(Some(42))), Channel::Sms, 60).await;
    let simulators = Arc::new(started(mixed(Some(42))));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let simulators = Arc::clone(&simulators);
        calls.spawn(async move { outcome(&call(&simulators, Channel::Sms).await) });
    }
    calls.join_all().await;
    let ledger = simulators.calls(Simulated::SmsMms);
    assert!(ledger.iter().map(|entry| entry.call).eq(1..=60));
    assert!(ledger.iter().map(|entry| entry.outcome).eq(alone));
}

#[tokio::test(start_paused = true)]
async fn shares_are_kept_without_a_seed() {
    let simulators = started(mixed(None));
    for channel in [Channel::Sms, Channel::Email] {
        let shares = shares(&outcomes(&simulators, channel, 2_000).await);
        for (outcome, expected) in [
            (Outcome::Timeout, 10.0),
            (Outcome::Error, 30.0),
            (Outcome::RateLimited, 10.0),
            (Outcome::Success, 50.0),
        ] {
            assert!(
                (shares[&outcome] - expected).abs() <= 5.0,
                "{channel}: {shares:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_answer_is_what_a_real_provider_would_give() {
    let error_code = ErrorCode::of("provider_error");
    let limited = ErrorCode::of("provider_rate_limited");
    for (timeout_pct, error_pct, ratelimit_pct, expected) in [
        (
            0,
            0,
            0,
            SendResult::Success {
                provider_message_id: None,
            },
        ),
        (0, 100, 0, SendResult::Error { error_code }),
        (
            0,
            0,
            100,
            SendResult::RateLimited {
                retry_after: Some(RETRY_AFTER),
                error_code: limited,
            },
        ),
        (100, 0, 0, SendResult::Timeout),
    ] {
        let config =
            json!({"timeout_pct": timeout_pct, "error_pct": error_pct, "ratelimit_pct": ratelimit_pct});
        assert_eq!(call(&started(settings(config)), Channel::Email).await, expected);
    }
}

#[tokio::test(start_paused = true)]
#[allow(clippy::disallowed_methods, reason = "the paused clock of the test")]
async fn a_timeout_hangs_until_the_caller_gives_up_and_is_in_the_ledger_before() {
    let simulators = Arc::new(started(settings(
        json!({"timeout_pct": 100, "error_pct": 0, "ratelimit_pct": 0}),
    )));
    let begun = tokio::time::Instant::now();
    let caller = Arc::clone(&simulators);
    let hanging = tokio::spawn(async move { call(&caller, Channel::Sms).await });
    tokio::task::yield_now().await;
    tokio::time::advance(DEADLINE - Duration::from_millis(1)).await;
    tokio::task::yield_now().await;
    assert!(!hanging.is_finished());
    assert_eq!(simulators.calls(Simulated::SmsMms)[0].outcome, Outcome::Timeout);
    assert_eq!(hanging.await.unwrap(), SendResult::Timeout);
    assert_eq!(begun.elapsed(), DEADLINE);
}

#[tokio::test(start_paused = true)]
#[allow(clippy::disallowed_methods, reason = "the paused clock of the test")]
async fn latency_comes_before_the_reply_and_after_the_ledger() {
    let latency = Duration::from_millis(70);
    let perfect = settings(json!({"timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0}));
    let simulators = started(SimulatorSettings {
        latency,
        ..perfect.clone()
    });
    let begun = tokio::time::Instant::now();
    assert_eq!(
        call(&simulators, Channel::Email).await,
        SendResult::Success {
            provider_message_id: None
        }
    );
    assert_eq!(begun.elapsed(), latency);

    // A caller that does not wait that long hears nothing, but the provider has the message.
    let simulators = started(SimulatorSettings {
        latency: DEADLINE * 2,
        ..perfect
    });
    assert_eq!(call(&simulators, Channel::Email).await, SendResult::Timeout);
    assert_eq!(simulators.calls(Simulated::Email)[0].outcome, Outcome::Success);
}

#[tokio::test(start_paused = true)]
async fn a_seed_in_a_new_configuration_restarts_what_it_governs() {
    let base = json!({"timeout_pct": 10, "error_pct": 30, "ratelimit_pct": 10, "seed": 42});
    let mut own = base.clone();
    own["providers"] = json!({"email": {"seed": 42}});
    let mut only_email = own.clone();
    only_email.as_object_mut().unwrap().remove("seed");

    let simulators = started(settings(base.clone()));
    let sms = outcomes(&simulators, Channel::Sms, 50).await;
    let email = outcomes(&simulators, Channel::Email, 50).await;
    for config in [base, own] {
        simulators.replace(config_of(config)).unwrap();
        assert_eq!(outcomes(&simulators, Channel::Sms, 50).await, sms);
        assert_eq!(outcomes(&simulators, Channel::Email, 50).await, email);
    }
    // Once more, with a seed for one of them only: the other has lost its own and goes on with drawn
    // outcomes.
    simulators.replace(config_of(only_email.clone())).unwrap();
    assert_eq!(outcomes(&simulators, Channel::Email, 50).await, email);
    assert_ne!(outcomes(&simulators, Channel::Sms, 50).await, sms);
    // A sequence without a seed is not restarted.
    simulators.replace(config_of(only_email)).unwrap();
    call(&simulators, Channel::Sms).await;
    assert_eq!(simulators.calls(Simulated::SmsMms).last().unwrap().call, 51);
}

#[tokio::test(start_paused = true)]
async fn a_new_configuration_counts_from_the_next_call() {
    let simulators = started(mixed(None));
    let broken = config_of(json!({
        "timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0, "providers": {"sms-mms": {"error_pct": 100}},
    }));
    simulators.replace(broken.clone()).unwrap();
    assert_eq!(simulators.config(), broken);
    assert_eq!(
        outcomes(&simulators, Channel::Mms, 20).await,
        [Outcome::Error; 20]
    );
    assert_eq!(
        outcomes(&simulators, Channel::Email, 20).await,
        [Outcome::Success; 20]
    );
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_cannot_be_used_changes_nothing() {
    let simulators = started(mixed(Some(42)));
    let expected = outcomes(&started(mixed(Some(42))), Channel::Sms, 40).await;
    let mut seen = outcomes(&simulators, Channel::Sms, 20).await;
    let before = simulators.config();
    let refused = SimulatorConfig {
        error_pct: 95,
        seed: Some(1),
        ..before.clone()
    };
    assert!(simulators.replace(refused.clone()).is_err());
    assert_eq!(simulators.config(), before);
    seen.extend(outcomes(&simulators, Channel::Sms, 20).await);
    assert_eq!(seen, expected);

    let clock = Arc::new(SystemClock::new());
    let refused = SimulatorSettings {
        config: refused,
        ..mixed(None)
    };
    let error = Simulators::new(refused, &Entropy::from_seed(1), clock).unwrap_err();
    assert!(matches!(error, SimulatorsError::Config(_)));
}

#[tokio::test(start_paused = true)]
async fn the_ledger_file_has_every_call_of_every_node_and_nothing_personal() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let settings = SimulatorSettings {
        ledger: Some(file.path().to_owned()),
        ..mixed(Some(42))
    };
    let nodes = [started(settings.clone()), started(settings)];
    for node in &nodes {
        outcomes(node, Channel::Sms, 20).await;
        outcomes(node, Channel::Email, 20).await;
    }
    let text = std::fs::read_to_string(file.path()).unwrap();
    assert!(!text.contains("secret") && !text.contains("2016661234"));
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let remembered: Vec<_> = nodes
        .iter()
        .flat_map(|node| [node.calls(Simulated::SmsMms), node.calls(Simulated::Email)])
        .flatten()
        .map(|entry| serde_json::to_value(entry).unwrap())
        .collect();
    assert_eq!(lines, remembered);
    assert_eq!(lines.len(), 80);
    assert_eq!(lines[0]["attempt_number"], 3);
}

/// Also a call that hangs: whatever kills the caller or this process afterwards, the file knows.
#[tokio::test(start_paused = true)]
async fn the_ledger_file_has_a_call_before_it_ends() {
    for (timeout_pct, outcome) in [(0, "success"), (100, "timeout")] {
        let file = tempfile::NamedTempFile::new().unwrap();
        let ledger = Some(file.path().to_owned());
        let latency = DEADLINE * 2;
        let config = settings(json!({"timeout_pct": timeout_pct, "error_pct": 0, "ratelimit_pct": 0}));
        let simulators = Arc::new(started(SimulatorSettings {
            ledger,
            latency,
            ..config
        }));
        let caller = Arc::clone(&simulators);
        let waiting = tokio::spawn(async move { call(&caller, Channel::Sms).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let line: Value = serde_json::from_str(&std::fs::read_to_string(file.path()).unwrap()).unwrap();
        assert_eq!((&line["call"], &line["outcome"]), (&json!(1), &json!(outcome)));
        waiting.abort();
    }
}

#[test]
fn a_ledger_file_that_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("missing").join("ledger.jsonl");
    let settings = SimulatorSettings {
        ledger: Some(path.clone()),
        ..mixed(None)
    };
    let error = Simulators::new(settings, &Entropy::from_seed(1), Arc::new(SystemClock::new())).unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}
