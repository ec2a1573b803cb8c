use serde_json::{Value, json};

use crate::world::{Fault, World, sms, with, without};

const RECEIPTS: &str = "/api/webhooks/receipts";

async fn dispatched(world: &World) -> (String, String) {
    let id = world.sent(&sms("a")).await;
    let shown = world.until(&id, "dispatched").await;
    let theirs = shown["attempts"][0]["provider_message_id"].as_str().unwrap();
    (id, theirs.to_owned())
}

#[tokio::test]
async fn a_receipt_finds_its_message_by_the_providers_id() {
    let world = World::new().await;
    let (id, theirs) = dispatched(&world).await;
    let body = json!({
        "provider": "sms-mms", "provider_message_id": theirs, "status": "delivered", "error_code": null,
        "timestamp": "2026-01-02T03:04:05.000006+01:00", "price": 0.01,
    });
    let answer = world.post(RECEIPTS, &body).await.expect(202);
    assert_eq!(answer.json(), json!({"status": "accepted"}));
    let shown = world.message(&id).await;
    let at = "2026-01-02T02:04:05.000006Z";
    assert_eq!(shown["status"], "delivered");
    let delivery = json!({"status": "delivered", "error_code": null, "at": at, "contradicted": false});
    assert_eq!(shown["delivery"], delivery);
    assert_eq!(
        shown["receipts"],
        json!([{
            "provider": "sms-mms", "provider_message_id": theirs, "status": "delivered", "error_code": null, "at": at,
            "received_at": shown["receipts"][0]["received_at"],
        }])
    );
    let listed = world
        .get("/api/messages?status=delivered")
        .await
        .expect(200)
        .json();
    assert_eq!(listed["items"][0]["delivery"], delivery);
}

#[tokio::test]
async fn receipts_fold_and_contradictions_show() {
    let world = World::new().await;
    let (id, theirs) = dispatched(&world).await;
    let of = |status: &str| json!({"provider_message_id": theirs, "status": status});
    world.post(RECEIPTS, &of("sent")).await.expect(202);
    assert_eq!(world.message(&id).await["status"], "dispatched");
    let blocked = with(&of("undelivered"), "error_code", "Carrier blocked");
    world.post(RECEIPTS, &blocked).await.expect(202);
    let undelivered = world.message(&id).await;
    assert_eq!(undelivered["status"], "undelivered");
    assert_eq!(undelivered["delivery"]["error_code"], "carrier_blocked");
    for status in ["delivered", "undelivered", "sent"] {
        world.post(RECEIPTS, &of(status)).await.expect(202);
    }
    let shown = world.message(&id).await;
    assert_eq!(
        (&shown["status"], &shown["delivery"]["contradicted"]),
        (&json!("delivered"), &json!(true))
    );
    assert_eq!(shown["receipts"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_receipt_that_matches_nothing_is_kept_and_listed() {
    let world = World::new().await;
    let (id, theirs) = dispatched(&world).await;
    let unknown_id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let unknown = json!({"provider": "elsewhere", "provider_message_id": "x-1", "status": "undelivered", "error_code": 30003});
    for body in [
        unknown,
        json!({"message_id": unknown_id, "status": "sent"}),
        json!({"provider_message_id": theirs, "status": "sent"}),
    ] {
        world.post(RECEIPTS, &body).await.expect(202);
    }
    let listed = async |query: &str| {
        let listed = world.get(&format!("/api/receipts{query}")).await.expect(200);
        listed.json()["items"].as_array().unwrap().clone()
    };
    let unmatched = listed("?matched=false").await;
    let shown = |receipt: &Value| (receipt["message_id"].clone(), receipt["matched"].clone());
    assert_eq!(
        unmatched.iter().map(shown).collect::<Vec<_>>(),
        [(json!(unknown_id), json!(false)), (Value::Null, json!(false))]
    );
    let (at, received_at) = (&unmatched[1]["at"], &unmatched[1]["received_at"]);
    assert_eq!(at, received_at);
    assert_eq!(
        unmatched[1],
        json!({
            "provider": "elsewhere", "provider_message_id": "x-1", "status": "undelivered", "error_code": "30003",
            "at": at, "received_at": received_at, "matched": false, "message_id": null,
        })
    );
    let matched = listed("?matched=true").await;
    assert_eq!(
        matched.iter().map(shown).collect::<Vec<_>>(),
        [(json!(id), json!(true))]
    );
    assert_eq!(listed("").await.len(), 3);
    let first = world.get("/api/receipts?pageSize=2").await.expect(200).json();
    let cursor = first["meta"]["next_cursor"].as_str().unwrap();
    let second = listed(&format!("?pageSize=2&cursor={cursor}")).await;
    assert_eq!((first["items"].as_array().unwrap().len(), second.len()), (2, 1));
    world
        .get("/api/receipts?matched=perhaps")
        .await
        .expect_invalid(&["matched"]);
    world
        .get("/api/receipts?cursor=m1")
        .await
        .expect_invalid(&["cursor"]);
}

#[tokio::test]
async fn a_receipt_is_not_turned_away_for_a_formality() {
    let world = World::new().await;
    let base = json!({"provider_message_id": "1", "status": "delivered"});
    for body in [
        base.clone(),
        with(&base, "status", " DELIVERED "),
        with(&base, "provider_message_id", 4_815_162_342_u64),
        with(&base, "provider_message_id", "1\r\n"),
        with(&base, "provider", ""),
        with(&base, "provider", Value::Null),
        with(&base, "message_id", "whatever the provider echoes"),
        with(&base, "message_id", ""),
        with(&base, "error_code", ""),
        with(&base, "error_code", -7),
        with(&base, "timestamp", "yesterday"),
        with(&base, "timestamp", 1_700_000_000),
        with(&base, "timestamp", "1970-01-01T00:00:00Z"),
        with(&base, "timestamp", "2970-01-01T00:00:00Z"),
        with(&base, "Unheard/of", json!({"a": [1]})),
    ] {
        let answer = world.post(RECEIPTS, &body).await;
        assert_eq!(answer.status, 202, "{answer}");
    }
    let listed = world.get("/api/receipts").await.expect(200).json();
    for receipt in listed["items"].as_array().unwrap() {
        assert_eq!(receipt["at"], receipt["received_at"]);
    }
}

#[tokio::test]
async fn what_is_missing_in_a_receipt_is_named_and_counted() {
    let world = World::new().await;
    let base = json!({"provider_message_id": "1", "status": "delivered"});
    let cases: Vec<(Value, &[&str])> = vec![
        (without(&base, "status"), &["/status"]),
        (with(&base, "status", "arrived"), &["/status"]),
        (with(&base, "status", json!(["delivered"])), &["/status"]),
        (without(&base, "provider_message_id"), &["/message_id"]),
        (json!({}), &["/message_id", "/status"]),
        (
            json!({"message_id": "1", "status": "delivered"}),
            &["/message_id"],
        ),
        (with(&base, "provider", "No Name"), &["/provider"]),
        (
            with(&base, "provider_message_id", "x".repeat(256)),
            &["/provider_message_id"],
        ),
    ];
    for (body, pointers) in &cases {
        world.post(RECEIPTS, body).await.expect_invalid(pointers);
    }
    let rejected = world
        .metric("trunkline_inbound_rejected_total{reason=\"invalid\"}")
        .await;
    assert_eq!(rejected, cases.len() as f64);
    world.store.set(Fault::Away);
    world
        .post(RECEIPTS, &base)
        .await
        .expect_problem(503, "store_unavailable");
}

#[tokio::test]
async fn a_simulated_provider_reports_by_our_own_id() {
    let world = World::new().await;
    let (id, _) = dispatched(&world).await;
    let receipt = json!({"message_id": id, "status": "undelivered", "error_code": "blocked"});
    let answer = world
        .post("/api/provider/mock/receipt", &receipt)
        .await
        .expect(202);
    assert_eq!(answer.json(), json!({"status": "accepted"}));
    assert_eq!(world.message(&id).await["delivery"]["error_code"], "blocked");
    let misspelt = with(&receipt, "state", "sent");
    let refused = world.post("/api/provider/mock/receipt", &misspelt).await;
    refused.expect_invalid(&["/state"]);
    let named = without(&receipt, "message_id");
    let refused = world.post("/api/provider/mock/receipt", &named).await;
    refused.expect_invalid(&["/message_id"]);
    let real = World::with(|settings| settings.only(&[])).await;
    let absent = real.post("/api/provider/mock/receipt", &receipt).await;
    absent.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_receipt_that_proves_a_timeout_wrong_ends_the_retries() {
    let world = World::new().await;
    world
        .simulate(json!({"timeout_pct": 100, "error_pct": 0, "ratelimit_pct": 0}))
        .await;
    let id = world.sent(&sms("a")).await;
    crate::world::until("an attempt timed out", async || {
        world.message(&id).await["attempts"].get(0).cloned()
    })
    .await;
    world.receipt(&id, "delivered").await;
    let shown = world.until(&id, "delivered").await;
    assert!(shown.get("next_attempt_at").is_none());
}
