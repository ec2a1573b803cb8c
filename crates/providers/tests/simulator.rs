//! The simulators from outside: through the port, the configuration and the ledger file.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::{
    Address, Attachments, Body, Channel, Clock, Content, Entropy, ErrorCode, MessageId, Outcome, SystemClock,
    Timestamp,
};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::time::timeout;
use trunkline_providers::{
    Call, Provider, Routes, SendResult,
    simulator::{
        FaultOverrides, Faults, SimulatorConfig, SimulatorInstance, SimulatorSettings, Simulators,
        SimulatorsError, receipt_channel,
    },
};

const DEADLINE: Duration = Duration::from_secs(5);
const RETRY_AFTER: Duration = Duration::from_secs(1);

fn faults([timeout_pct, error_pct, ratelimit_pct]: [u8; 3], seed: Option<u64>) -> Faults {
    Faults {
        timeout_pct,
        error_pct,
        ratelimit_pct,
        seed,
        ..Faults::default()
    }
}

/// Some of each outcome.
fn mixed(seed: Option<u64>) -> SimulatorSettings {
    settings(faults([10, 30, 10], seed))
}

fn settings(faults: Faults) -> SimulatorSettings {
    SimulatorSettings {
        config: faults.into(),
        ..SimulatorSettings::default()
    }
}

fn with_own(faults: Faults, name: &str, own: FaultOverrides) -> SimulatorConfig {
    let mut config = SimulatorConfig::from(faults);
    config.providers.insert(name.to_owned(), own);
    config
}

fn with_ledger(settings: SimulatorSettings) -> (SimulatorSettings, NamedTempFile) {
    let file = NamedTempFile::new().unwrap();
    let ledger = Some(file.path().to_owned());
    (SimulatorSettings { ledger, ..settings }, file)
}

fn with_latency(mut settings: SimulatorSettings, latency: Duration) -> SimulatorSettings {
    settings.config.faults.latency = latency;
    settings
}

fn started(settings: SimulatorSettings) -> Simulators {
    start(settings).unwrap()
}

fn start(settings: SimulatorSettings) -> Result<Simulators, SimulatorsError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (receipts, _) = receipt_channel(&clock);
    Simulators::new(settings, &Entropy::from_seed(1), clock, &receipts)
}

/// The values of a field in the lines of a ledger file.
fn ledger(file: &NamedTempFile, field: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(file.path()).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| line[field].clone()).collect()
}

fn message_id() -> MessageId {
    MessageId::mint(Timestamp::from_micros(0).unwrap(), &Entropy::from_seed(9))
}

/// One call, with the caller's deadline around it as in the engine.
async fn call_provider(provider: &dyn Provider, channel: Channel) -> SendResult {
    let address = match channel {
        Channel::Email => "secret@example.com",
        Channel::Sms | Channel::Mms => "+12016661234",
    };
    let address = Address::recipient(channel, address, None).unwrap();
    let content = Content {
        channel,
        from: address.given.clone(),
        to: address.given,
        subject: None,
        body: Body::new("secret words").unwrap(),
        attachments: Attachments::default(),
        metadata: domain::Metadata::default(),
    };
    let call = Call {
        message_id: message_id(),
        attempt_number: 3,
        completed_attempts: 2,
        content: &content,
    };
    let result = timeout(DEADLINE, provider.send(call)).await;
    result.unwrap_or(SendResult::Timeout)
}

async fn call(simulators: &Simulators, channel: Channel) -> SendResult {
    let routes = Routes::new(simulators.providers()).unwrap();
    call_provider(routes.serving(channel).unwrap().as_ref(), channel).await
}

async fn outcomes(simulators: &Simulators, channel: Channel, calls: usize) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for _ in 0..calls {
        outcomes.push(call(simulators, channel).await.outcome());
    }
    outcomes
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
async fn other_simulators_do_not_disturb_a_sequence() {
    let alone = outcomes(&started(mixed(Some(42))), Channel::Sms, 100).await;
    let mut settings = mixed(Some(42));
    // A second one on the same channel, too.
    let twin = SimulatorInstance {
        name: "twin".parse().unwrap(),
        ..settings.instances[0].clone()
    };
    settings.instances.push(twin);
    let simulators = started(settings);
    let providers = simulators.providers();
    let (mut interleaved, mut of_twin) = (Vec::new(), Vec::new());
    for i in 0..100 {
        outcomes(&simulators, Channel::Email, i % 3).await;
        of_twin.push(call_provider(providers[2].as_ref(), Channel::Sms).await.outcome());
        // SMS and MMS share a provider, and so a sequence.
        let channel = if i % 2 == 0 { Channel::Sms } else { Channel::Mms };
        interleaved.push(call(&simulators, channel).await.outcome());
    }
    assert_eq!(interleaved, alone);
    assert_ne!(of_twin, alone);
}

#[tokio::test(start_paused = true)]
async fn concurrent_calls_share_out_the_same_outcomes() {
    let alone = outcomes(&started(mixed(Some(42))), Channel::Sms, 60).await;
    let (settings, file) = with_ledger(mixed(Some(42)));
    let simulators = Arc::new(started(settings));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let simulators = Arc::clone(&simulators);
        calls.spawn(async move { call(&simulators, Channel::Sms).await });
    }
    calls.join_all().await;
    assert!(ledger(&file, "call").into_iter().eq(1..=60));
    let alone = alone.into_iter().map(Outcome::as_str);
    assert!(ledger(&file, "outcome").into_iter().eq(alone));
}

#[tokio::test(start_paused = true)]
async fn shares_are_kept_without_a_seed() {
    let simulators = started(mixed(None));
    for channel in [Channel::Sms, Channel::Email] {
        let mut shares = BTreeMap::new();
        for outcome in outcomes(&simulators, channel, 2_000).await {
            *shares.entry(outcome).or_insert(0.0) += 100.0 / 2_000.0;
        }
        for (outcome, expected) in [
            (Outcome::Timeout, 10.0),
            (Outcome::Error, 30.0),
            (Outcome::RateLimited, 10.0),
            (Outcome::Success, 50.0),
        ] {
            let share: f64 = shares[&outcome];
            assert!((share - expected).abs() <= 5.0, "{channel}: {shares:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_fault_gives_the_result_of_a_real_provider() {
    let error = SendResult::Error {
        error_code: ErrorCode::of("provider_error"),
    };
    let limited = SendResult::RateLimited {
        retry_after: Some(RETRY_AFTER),
        error_code: ErrorCode::of("provider_rate_limited"),
    };
    let taken = SendResult::Success {
        provider_message_id: format!("sim-{}-3", message_id()).parse().ok(),
    };
    let rejected = SendResult::Rejected {
        error_code: ErrorCode::of("provider_rejected"),
    };
    let rejecting = Faults {
        rejected_pct: 100,
        ..Faults::default()
    };
    for (faults, expected, is_taken) in [
        (faults([0, 0, 0], None), taken, true),
        (faults([0, 100, 0], None), error, false),
        (faults([0, 0, 100], None), limited, false),
        (rejecting, rejected, false),
        (faults([100, 0, 0], None), SendResult::Timeout, false),
    ] {
        let (settings, file) = with_ledger(settings(faults));
        assert_eq!(call(&started(settings), Channel::Email).await, expected);
        assert_eq!(ledger(&file, "outcome"), [expected.outcome().as_str()]);
        assert_eq!(ledger(&file, "taken"), [is_taken], "{expected:?}");
    }
}

#[tokio::test(start_paused = true)]
#[allow(clippy::disallowed_methods, reason = "the paused clock of the test")]
async fn a_timeout_hangs_until_the_caller_gives_up() {
    let simulators = started(settings(faults([100, 0, 0], None)));
    let began = tokio::time::Instant::now();
    assert_eq!(call(&simulators, Channel::Sms).await, SendResult::Timeout);
    assert_eq!(began.elapsed(), DEADLINE);
}

#[tokio::test(start_paused = true)]
#[allow(clippy::disallowed_methods, reason = "the paused clock of the test")]
async fn a_response_takes_the_latency() {
    let latency = Duration::from_millis(70);
    let simulators = started(with_latency(SimulatorSettings::default(), latency));
    let began = tokio::time::Instant::now();
    assert_eq!(
        call(&simulators, Channel::Email).await.outcome(),
        Outcome::Success
    );
    assert_eq!(began.elapsed(), latency);

    // The caller gives up earlier and hears nothing, but the provider has the message.
    let (slow, file) = with_ledger(with_latency(SimulatorSettings::default(), DEADLINE * 2));
    assert_eq!(call(&started(slow), Channel::Email).await, SendResult::Timeout);
    assert_eq!(ledger(&file, "outcome"), ["success"]);
    assert_eq!(ledger(&file, "taken"), [true]);
}

#[tokio::test(start_paused = true)]
#[allow(clippy::disallowed_methods, reason = "the paused clock of the test")]
async fn latencies_differ_within_their_range_and_repeat_with_the_seed() {
    let mut first = Vec::new();
    for run in 0..2 {
        let spread = Faults {
            latency: Duration::from_millis(20),
            latency_max: Some(Duration::from_millis(80)),
            ..faults([0, 0, 0], Some(42))
        };
        let simulators = started(settings(spread));
        let mut latencies = Vec::new();
        for _ in 0..12 {
            let began = tokio::time::Instant::now();
            call(&simulators, Channel::Sms).await;
            latencies.push(began.elapsed().as_millis());
        }
        if run == 1 {
            assert_eq!(latencies, first);
        }
        first = latencies;
    }
    assert_eq!(first, [31, 27, 54, 64, 35, 34, 67, 69, 61, 24, 77, 23]);
}

#[tokio::test(start_paused = true)]
async fn a_seed_in_a_new_configuration_restarts_only_the_sequences_it_governs() {
    let seed = FaultOverrides {
        seed: Some(42),
        ..FaultOverrides::default()
    };
    let for_all = faults([10, 30, 10], Some(42));
    let own = with_own(for_all, "email", seed);
    let only_email = with_own(faults([10, 30, 10], None), "email", seed);

    let (settings, file) = with_ledger(settings(for_all));
    let simulators = started(settings);
    let sms = outcomes(&simulators, Channel::Sms, 50).await;
    let email = outcomes(&simulators, Channel::Email, 50).await;
    for config in [for_all.into(), own] {
        simulators.replace(config).unwrap();
        assert_eq!(outcomes(&simulators, Channel::Sms, 50).await, sms);
        assert_eq!(outcomes(&simulators, Channel::Email, 50).await, email);
    }
    // Without its seed, the other goes on with drawn outcomes.
    simulators.replace(only_email.clone()).unwrap();
    assert_eq!(outcomes(&simulators, Channel::Email, 50).await, email);
    assert_ne!(outcomes(&simulators, Channel::Sms, 50).await, sms);
    // A sequence without a seed is not restarted.
    simulators.replace(only_email).unwrap();
    call(&simulators, Channel::Sms).await;
    assert_eq!(ledger(&file, "call").last().unwrap(), 51);
}

#[tokio::test(start_paused = true)]
async fn a_new_configuration_holds_from_the_next_call() {
    let simulators = started(mixed(None));
    let broken = FaultOverrides {
        error_pct: Some(100),
        ..FaultOverrides::default()
    };
    let config = with_own(Faults::default(), "sms-mms", broken);
    simulators.replace(config.clone()).unwrap();
    assert_eq!(simulators.config(), config);
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
async fn a_refused_configuration_changes_nothing() {
    let simulators = started(mixed(Some(42)));
    let expected = outcomes(&started(mixed(Some(42))), Channel::Sms, 40).await;
    let mut seen = outcomes(&simulators, Channel::Sms, 20).await;
    let before = simulators.config();
    let refused = faults([10, 95, 10], Some(1));
    simulators.replace(refused.into()).unwrap_err();
    assert_eq!(simulators.config(), before);
    seen.extend(outcomes(&simulators, Channel::Sms, 20).await);
    assert_eq!(seen, expected);

    let error = start(settings(refused)).unwrap_err();
    assert!(matches!(error, SimulatorsError::Config(_)));
}

#[tokio::test(start_paused = true)]
async fn the_ledger_file_has_every_call_of_every_node_and_nothing_personal() {
    let (settings, file) = with_ledger(mixed(Some(42)));
    for node in [started(settings.clone()), started(settings)] {
        outcomes(&node, Channel::Sms, 20).await;
        outcomes(&node, Channel::Email, 20).await;
    }
    let text = std::fs::read_to_string(file.path()).unwrap();
    assert!(!text.contains("secret") && !text.contains("2016661234"));
    let calls: Vec<Value> = (0..4).flat_map(|_| (1..=20).map(Value::from)).collect();
    assert_eq!(ledger(&file, "call"), calls);
    assert_eq!(ledger(&file, "attempt_number"), [3; 80]);
}

/// If the caller or this process ends during the call, the file has it.
#[tokio::test(start_paused = true)]
async fn the_ledger_file_has_a_call_before_it_ends() {
    for (timeout_pct, outcome) in [(0, "success"), (100, "timeout")] {
        let (settings, file) = with_ledger(settings(faults([timeout_pct, 0, 0], None)));
        let simulators = started(with_latency(settings, DEADLINE * 2));
        let waiting = tokio::spawn(async move { call(&simulators, Channel::Sms).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        assert_eq!(ledger(&file, "outcome"), [outcome]);
        waiting.abort();
    }
}

#[test]
fn a_ledger_file_that_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("ledger.jsonl");
    let settings = SimulatorSettings {
        ledger: Some(path.clone()),
        ..mixed(None)
    };
    let error = start(settings).unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}
