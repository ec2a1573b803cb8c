use providers::simulator::SimulatorInstance;
use serde_json::{Value, json};

use crate::world::{World, sms, until, with, without};

const CONFIG: &str = "/api/provider/mock/config";
const INBOUND: &str = "/api/provider/mock/inbound";

fn calm() -> Value {
    json!({"timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0})
}

fn effective(shares: [u8; 4]) -> Value {
    let [timeout, error, ratelimit, success] = shares;
    json!({
        "timeout_pct": timeout, "error_pct": error, "ratelimit_pct": ratelimit, "rejected_pct": 0, "success_pct": success,
        "timeout_taken_pct": 0, "latency_ms": 0, "latency_max_ms": 0, "receipts": receipts([0, 0, 0, 0]),
    })
}

/// As shown: with the fields that may be missing.
fn shown(config: &Value) -> Value {
    let defaults = json!({"rejected_pct": 0, "timeout_taken_pct": 0, "latency_ms": 0, "receipts": receipts([0, 0, 0, 0])});
    let defaults = defaults.as_object().unwrap().clone().into_iter();
    let missing = defaults.filter(|(field, _)| config.get(field).is_none());
    missing.fold(config.clone(), |config, (field, value)| {
        with(&config, &field, value)
    })
}

fn receipts([delivered, undelivered, delay, duplicate]: [u32; 4]) -> Value {
    json!({"delivered_pct": delivered, "undelivered_pct": undelivered, "delay_ms": delay, "duplicate_pct": duplicate})
}

#[tokio::test]
async fn the_configuration_is_replaced_whole_and_shown_with_what_is_in_effect() {
    let world = World::new().await;
    let both = |one: Value, other: Value| json!({"sms-mms": one, "email": other});
    let calm_shown = with(
        &shown(&calm()),
        "effective",
        both(effective([0, 0, 0, 100]), effective([0, 0, 0, 100])),
    );
    let response = world.get(CONFIG).await.expect(200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.json(), calm_shown);

    let set = json!({
        "timeout_pct": 5, "error_pct": 10, "ratelimit_pct": 15, "seed": 42,
        "providers": {"email": {"error_pct": 80, "timeout_pct": 0}, "sms-mms": {"seed": 7}},
    });
    let in_effect = both(
        with(&effective([5, 10, 15, 70]), "seed", 7),
        with(&effective([0, 80, 15, 5]), "seed", 42),
    );
    let newer = json!({
        "timeout_pct": 5, "timeout_taken_pct": 50, "error_pct": 10, "ratelimit_pct": 15, "rejected_pct": 20,
        "latency_ms": 30, "latency_max_ms": 60,
        "providers": {"email": {"rejected_pct": 0, "timeout_taken_pct": 1, "latency_ms": 60}, "sms-mms": {"latency_max_ms": 40}},
    });
    let changed = |shares: [u8; 4], own: Value| {
        let own = own.as_object().unwrap().clone().into_iter();
        own.fold(effective(shares), |effect, (field, value)| {
            with(&effect, &field, value)
        })
    };
    let newer_in_effect = both(
        changed(
            [5, 10, 15, 50],
            json!({"rejected_pct": 20, "timeout_taken_pct": 50, "latency_ms": 30, "latency_max_ms": 40}),
        ),
        changed(
            [5, 10, 15, 70],
            json!({"timeout_taken_pct": 1, "latency_ms": 60, "latency_max_ms": 60}),
        ),
    );
    for (set, in_effect) in [(set, in_effect), (newer, newer_in_effect)] {
        let shown = with(&shown(&set), "effective", in_effect);
        let replaced = world.client.put(CONFIG, &set).await.expect(200);
        assert_eq!(replaced.json(), shown);
        assert_eq!(world.get(CONFIG).await.json(), shown);
        // What was shown can be put back.
        let same = world.client.put(CONFIG, &shown).await;
        assert_eq!(same.expect(200).json(), shown);
    }

    // No overrides and no seed any more.
    let replaced = world.client.put(CONFIG, &calm()).await.expect(200);
    assert_eq!(replaced.json(), calm_shown);
}

#[tokio::test]
async fn what_is_invalid_changes_nothing() {
    let world = World::new().await;
    let set = json!({
        "timeout_pct": 1, "error_pct": 2, "ratelimit_pct": 3, "seed": 4, "providers": {"email": {"error_pct": 5}},
    });
    let shown = world.client.put(CONFIG, &set).await.expect(200).json();
    let only = |field, value: Value| with(&calm(), field, value);
    let cases: Vec<(Value, &[&str])> = vec![
        (json!({}), &["/timeout_pct", "/error_pct", "/ratelimit_pct"]),
        (only("error_pct", json!(101)), &["/error_pct"]),
        (only("error_pct", json!(-1)), &["/error_pct"]),
        (only("error_pct", json!(1.5)), &["/error_pct"]),
        (only("timeout_pct", json!("10")), &["/timeout_pct"]),
        (only("seed", json!(-1)), &["/seed"]),
        (only("seed", json!("x")), &["/seed"]),
        (only("providers", json!([])), &["/providers"]),
        (only("providers", json!({"sms": {}})), &["/providers/sms"]),
        (only("providers", json!({"email": 5})), &["/providers/email"]),
        (
            only("providers", json!({"email": {"timeout_pct": 200}})),
            &["/providers/email/timeout_pct"],
        ),
        (
            json!({"timeout_pct": 50, "error_pct": 50, "ratelimit_pct": 1}),
            &[""],
        ),
        (
            json!({
                "timeout_pct": 50, "error_pct": 50, "ratelimit_pct": 0,
                "providers": {"sms-mms": {"ratelimit_pct": 1}},
            }),
            &["/providers/sms-mms"],
        ),
        (only("rejected_pct", json!(101)), &["/rejected_pct"]),
        (only("timeout_taken_pct", json!(-1)), &["/timeout_taken_pct"]),
        (only("latency_ms", json!(3_600_001)), &["/latency_ms"]),
        (only("latency_max_ms", json!(u64::MAX)), &["/latency_max_ms"]),
        (
            json!({"timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 50, "rejected_pct": 51}),
            &[""],
        ),
        (
            only(
                "providers",
                json!({"email": {"latency_ms": 2, "latency_max_ms": 1}}),
            ),
            &["/providers/email/latency_max_ms"],
        ),
        (only("recipients", json!({})), &["/recipients"]),
        (
            only("providers", json!({"email": {"error_pc": 1}})),
            &["/providers/email/error_pc"],
        ),
        (only("providers", json!({"a/b~c": {}})), &["/providers/a~1b~0c"]),
        (json!([0, 0, 0]), &[""]),
        (json!("calm"), &[""]),
    ];
    for (config, pointers) in cases {
        let refused = world.client.put(CONFIG, &config).await;
        refused.expect_invalid(pointers);
        assert_eq!(world.get(CONFIG).await.json(), shown, "{config}");
    }
    let form = world
        .client
        .request("PUT", CONFIG)
        .text("text/plain", calm().to_string());
    form.send().await.expect_problem(415, "unsupported_media_type");
    let broken = world.client.request("PUT", CONFIG).text("application/json", "{");
    broken.send().await.expect_problem(400, "invalid");
    assert_eq!(world.get(CONFIG).await.json(), shown);
}

#[tokio::test]
async fn a_misspelt_field_names_the_likely_one() {
    let world = World::new().await;
    let config = with(&calm(), "errorPct", 5);
    let refused = world.client.put(CONFIG, &config).await;
    let problem = refused.expect_invalid(&["/errorPct"]).json();
    assert_eq!(
        problem["errors"][0]["detail"],
        "is unknown: did you mean error_pct?"
    );
}

#[tokio::test]
async fn simulators_of_any_name_are_configured_by_it() {
    let world = World::with(|settings| {
        let instances = &mut settings.simulators.instances;
        instances[0].name = "primary".parse().unwrap();
        let backup = SimulatorInstance {
            name: "backup".parse().unwrap(),
            ..instances[0].clone()
        };
        instances.push(backup);
    })
    .await;
    let broken = with(&calm(), "providers", json!({"primary": {"error_pct": 100}}));
    let shown = world.client.put(CONFIG, &broken).await.expect(200).json();
    assert_eq!(
        shown["effective"],
        json!({
            "primary": effective([0, 100, 0, 0]), "backup": effective([0, 0, 0, 100]),
            "email": effective([0, 0, 0, 100]),
        })
    );
    // The first provider of the channel takes the message.
    let id = world.sent(&sms("a")).await;
    let attempt = until("there is an attempt", async || {
        world.message(&id).await["attempts"].get(0).cloned()
    })
    .await;
    assert_eq!(
        (&attempt["outcome"], world.calls("backup").len()),
        (&json!("error"), 0)
    );
}

#[tokio::test]
async fn a_seed_restarts_the_sequence_it_governs_and_no_other() {
    let world = World::new().await;
    let seeded = |seed: u64| {
        json!({
            "timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0, "providers": {"sms-mms": {"seed": seed}},
        })
    };
    for seed in [1, 1, 2] {
        world.simulate(seeded(seed)).await;
        for body in [sms("a"), sms("b"), crate::world::email("c")] {
            let id = world.sent(&body).await;
            world.until(&id, "dispatched").await;
        }
    }
    assert_eq!(world.calls("sms-mms"), [1, 2, 1, 2, 1, 2]);
    assert_eq!(world.calls("email"), [1, 2, 3]);
}

#[tokio::test]
async fn a_new_configuration_holds_at_once() {
    let world = World::new().await;
    for (share, outcome) in [("error_pct", "error"), ("ratelimit_pct", "rate_limited")] {
        let overridden = json!({"sms-mms": {share: 100}});
        world.simulate(with(&calm(), "providers", overridden)).await;
        let id = world.sent(&sms("a")).await;
        let tried = until("there was an attempt", async || {
            let message = world.message(&id).await;
            message["attempts"].get(0).cloned()
        })
        .await;
        assert_eq!(tried["outcome"], outcome);
        // The other provider was spared, and so is this one again.
        let mail = world.sent(&crate::world::email("a")).await;
        world.until(&mail, "dispatched").await;
        world.simulate(calm()).await;
        world.clock.advance(std::time::Duration::from_secs(60));
        world.until(&id, "dispatched").await;
    }
}

#[tokio::test]
async fn a_refusal_for_good_is_final_and_counts_as_an_answer() {
    let world = World::new().await;
    world.simulate(with(&calm(), "rejected_pct", 100)).await;
    // More than the failures in a row that open a breaker.
    for number in 0..6 {
        let id = world.sent(&sms(&number.to_string())).await;
        let message = world.until(&id, "failed").await;
        let attempts = message["attempts"].as_array().unwrap();
        let [attempt] = &attempts[..] else {
            panic!("{message}")
        };
        assert_eq!(
            (
                &attempt["outcome"],
                &attempt["error_code"],
                &message["failure"]["reason"]
            ),
            (
                &json!("rejected"),
                &json!("provider_rejected"),
                &json!("rejected")
            )
        );
    }
    let provider = until("the counts are in", async || {
        let providers = world.get("/api/providers").await.expect(200).json();
        let mut items = providers["items"].as_array().unwrap().clone().into_iter();
        items.find(|item| item["name"] == "sms-mms" && item["counts"]["rejected"] == 6)
    })
    .await;
    assert_eq!(
        (
            &provider["breaker"]["state"],
            &provider["breaker"]["consecutive_failures"]
        ),
        (&json!("closed"), &json!(0))
    );
    let attempts =
        "trunkline_dispatch_attempts_total{provider=\"sms-mms\",channel=\"sms\",outcome=\"rejected\"}";
    assert_eq!(world.metric(attempts).await, 6.0);
}

#[tokio::test]
async fn simulated_people_write_too() {
    let base =
        json!({"from": "+18045551234", "to": "+12016661234", "body": "Hi", "provider_message_id": "1"});
    let mail = json!({
        "channel": "email", "from": "customer@example.com", "to": "shop@example.com", "subject": "Hi",
        "body": "Hi", "provider_message_id": "1",
    });
    let picture = with(
        &with(&base, "channel", "mms"),
        "attachments",
        json!(["https://example.com/a"]),
    );
    let cases = [
        ("sms", "sms-mms", with(&base, "channel", "sms")),
        (
            "sms",
            "sms-mms",
            with(&with(&base, "channel", "sms"), "type", "sms"),
        ),
        (
            "mms",
            "sms-mms",
            with(&picture, "timestamp", "2024-11-01T14:00:00Z"),
        ),
        ("email", "email", mail.clone()),
        ("email", "email", without(&mail, "subject")),
    ];
    for (channel, provider, body) in cases {
        let world = World::new().await;
        let response = world.post(INBOUND, &body).await.expect(202);
        let id = response.id();
        assert_eq!(
            response.json(),
            json!({"status": "accepted", "id": id, "conversation_id": "1"})
        );
        let shown = world.message(&id).await;
        for (field, expected) in [
            ("direction", json!("inbound")),
            ("status", json!("received")),
            ("channel", json!(channel)),
            ("provider", json!(provider)),
            ("from", body["from"].clone()),
            ("to", body["to"].clone()),
            ("subject", body["subject"].clone()),
            ("body", json!("Hi")),
            (
                "attachments",
                body.get("attachments").cloned().unwrap_or(json!([])),
            ),
            (
                "timestamp",
                body.get("timestamp").unwrap_or(&shown["processed_at"]).clone(),
            ),
        ] {
            assert_eq!(shown[field], expected, "{field} of {body}");
        }
        assert_eq!(world.post(INBOUND, &body).await.expect(202).id(), id);
        // Without an id, each is a message of its own.
        let anonymous = without(&body, "provider_message_id");
        let [one, other] = [
            world.post(INBOUND, &anonymous).await,
            world.post(INBOUND, &anonymous).await,
        ];
        assert_ne!(one.expect(202).id(), other.expect(202).id());
        assert_eq!(world.messages_stored().await, 3);
    }
}

#[tokio::test]
async fn simulated_people_make_mistakes_too() {
    let world = World::new().await;
    let base = json!({"channel": "sms", "from": "+18045551234", "to": "+12016661234", "body": "Hi"});
    let cases: Vec<(Value, &[&str])> = vec![
        (without(&base, "channel"), &["/channel"]),
        (with(&base, "channel", "fax"), &["/channel"]),
        (with(&base, "type", "mms"), &["/type"]),
        (without(&base, "from"), &["/from"]),
        (with(&base, "to", "Shop"), &["/to"]),
        (with(&base, "body", 5), &["/body"]),
        (with(&base, "provider_message_id", ""), &["/provider_message_id"]),
        (with(&base, "provider_message_id", 1.5), &["/provider_message_id"]),
        (json!([]), &[""]),
    ];
    let count = cases.len();
    for (body, pointers) in cases {
        world.post(INBOUND, &body).await.expect_invalid(pointers);
    }
    let invalid = "trunkline_inbound_rejected_total{reason=\"invalid\"}";
    assert_eq!(world.metric(invalid).await, count as f64);
    assert_eq!(world.messages_stored().await, 0);
}

#[tokio::test]
async fn without_simulated_providers_their_routes_do_not_exist() {
    let world = World::with(|settings| {
        settings.only(&[]);
    })
    .await;
    world.get(CONFIG).await.expect_problem(404, "not_found");
    world
        .client
        .put(CONFIG, &calm())
        .await
        .expect_problem(404, "not_found");
    let inbound = json!({"channel": "sms", "from": "+18045551234", "to": "+12016661234", "body": "Hi"});
    world
        .post(INBOUND, &inbound)
        .await
        .expect_problem(404, "not_found");
    assert_eq!(
        world.get("/api/providers").await.expect(200).json(),
        json!({"items": []})
    );
    for only in ["sms-mms", "email"] {
        let world = World::with(|settings| settings.only(&[only])).await;
        world.get(CONFIG).await.expect(200);
    }
}
