//! Rate limits: what is charged, what is refused, and what the answers say.

use std::{collections::BTreeSet, time::Duration};

use engine::LimitSettings;
use serde_json::{Value, json};

use crate::world::{Fault, Response, World, email, mms, sms, sms_webhook, unified, with};

const SMS: &str = "/api/messages/sms";

async fn limited(ip: u32, sender: u32, webhook: u32) -> World {
    World::with(|settings| {
        settings.engine.limits = LimitSettings::per_minute(ip, sender, webhook);
    })
    .await
}

/// The members of a list header; their order means nothing.
fn members<'a>(response: &'a Response, header: &str) -> BTreeSet<&'a str> {
    let list = response.header(header).unwrap_or_default();
    list.split(", ").filter(|member| !member.is_empty()).collect()
}

/// What a sender has left.
fn left(response: &Response, policy: &str) -> Option<u32> {
    let name = format!("\"{policy}\";r=");
    let limits = members(response, "ratelimit");
    let own = limits.iter().find_map(|member| member.strip_prefix(&name))?;
    own.split(';').next().unwrap().parse().ok()
}

/// Refused with about this Retry-After, in seconds: real time passes too.
#[track_caller]
fn refused(response: Response, seconds: u64) -> u64 {
    let response = response.expect_problem(429, "rate_limited");
    let wait = response.retry_after();
    assert!((seconds.saturating_sub(15)..=seconds).contains(&wait), "{wait}");
    wait
}

#[tokio::test]
async fn send_routes_answer_with_their_limits_and_what_is_left() {
    let policies = BTreeSet::from(["\"sender\";q=60;w=60", "\"ip\";q=120;w=60"]);
    let accepted = BTreeSet::from(["\"sender\";r=59;t=1", "\"ip\";r=119;t=1"]);
    for (route, body) in [
        (SMS, sms("a")),
        ("/api/messages/email", email("a")),
        ("/api/messages", unified(&sms("a"))),
    ] {
        let world = limited(120, 60, 1_200).await;
        let response = world.post(route, &body).await.expect(202);
        assert_eq!(members(&response, "ratelimit-policy"), policies, "{route}");
        assert_eq!(members(&response, "ratelimit"), accepted, "{route}");

        // The request names no valid sender, so the answer has no sender limit.
        let world = limited(120, 60, 1_200).await;
        let response = world.post(route, &json!({})).await.expect(400);
        assert_eq!(members(&response, "ratelimit-policy"), policies, "{route}");
        assert_eq!(
            members(&response, "ratelimit"),
            BTreeSet::from(["\"ip\";r=119;t=1"])
        );
    }
    let world = limited(120, 60, 1_200).await;
    let quiet = [
        world.post("/api/webhooks/sms", &sms_webhook("1", "a")).await,
        world.get("/api/messages").await,
        world.get("/api/conversations").await,
        world.get("/healthz").await,
    ];
    for response in quiet {
        assert!(response.header("ratelimit").is_none() && response.header("ratelimit-policy").is_none());
    }
}

#[tokio::test]
async fn an_address_has_one_limit_for_all_requests_to_all_send_routes() {
    let world = limited(4, 1_000, 1_000).await;
    world.post(SMS, &sms("a")).await.expect(202);
    world.post("/api/messages/email", &json!({})).await.expect(400);
    let form = world
        .client
        .request("POST", "/api/messages")
        .text("text/plain", "a");
    form.send().await.expect(415);
    world.post("/api/messages", &unified(&sms("b"))).await.expect(202);
    for route in [SMS, "/api/messages/email", "/api/messages"] {
        let response = world.post(route, &json!({})).await;
        let shown = members(&response, "ratelimit");
        let wait = response.retry_after();
        assert_eq!(shown, BTreeSet::from([format!("\"ip\";r=0;t={wait}").as_str()]));
        assert!(response.json()["detail"].as_str().unwrap().contains("address"));
        refused(response, 15);
    }
    assert_eq!(
        world.metric("trunkline_rate_limited_total{limit=\"ip\"}").await,
        3.0
    );
    assert_eq!(world.messages_stored().await, 2);
    // Other routes have no limit, redrive included.
    for _ in 0..10 {
        world.get("/api/messages").await.expect(200);
        world.get("/api/conversations").await.expect(200);
        world.get("/healthz").await.expect(200);
        world.get("/metrics").await.expect(200);
        let redrive = json!({"channel": "sms"});
        world.post("/api/messages/redrive", &redrive).await.expect(202);
    }
    let reply = sms_webhook("1", "a");
    world.post("/api/webhooks/sms", &reply).await.expect(202);
}

#[tokio::test]
async fn a_refusal_is_not_charged_and_its_retry_after_is_enough() {
    let world = limited(2, 1_000, 1_000).await;
    for _ in 0..2 {
        world.post(SMS, &sms("a")).await.expect(202);
    }
    let mut wait = 0;
    for _ in 0..20 {
        wait = refused(world.post(SMS, &sms("b")).await, 30);
    }
    // Ten seconds early, because a slow machine adds time.
    world.clock.advance(Duration::from_secs(wait - 15));
    refused(world.post(SMS, &sms("b")).await, 15);
    world.clock.advance(Duration::from_secs(15));
    world.post(SMS, &sms("b")).await.expect(202);
    refused(world.post(SMS, &sms("c")).await, 30);
    assert_eq!(world.messages_stored().await, 3);
}

#[tokio::test]
async fn all_spellings_of_a_sender_share_one_limit_over_all_channels() {
    let world = limited(1_000, 3, 1_000).await;
    let spaced = with(&mms("a", &["https://example.com/a"]), "from", "+1 (201) 666-1234");
    for (number, (route, body)) in [
        (SMS, sms("a")),
        (SMS, spaced),
        (
            "/api/messages",
            with(&unified(&sms("a")), "from", "+1.201.666.1234"),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let response = world.post(route, &body).await.expect(202);
        assert_eq!(left(&response, "sender"), Some(2 - number as u32));
    }
    let response = world.post(SMS, &sms("b")).await;
    let wait = response.retry_after();
    assert!(members(&response, "ratelimit").contains(format!("\"sender\";r=0;t={wait}").as_str()));
    assert!(left(&response, "ip").is_some());
    assert!(response.json()["detail"].as_str().unwrap().contains("sender"));
    refused(response, 20);
    assert_eq!(
        world
            .metric("trunkline_rate_limited_total{limit=\"sender\"}")
            .await,
        1.0
    );
    assert_eq!(world.messages_stored().await, 3);

    // Other senders and recipients are not charged.
    world
        .post(SMS, &with(&sms("c"), "from", "+12016661235"))
        .await
        .expect(202);
    world
        .post("/api/webhooks/sms", &sms_webhook("1", "d"))
        .await
        .expect(202);
    for from in ["Shop@example.com", "shop+a@example.com", "SHOP@EXAMPLE.COM"] {
        let body = with(&email("e"), "from", from);
        world.post("/api/messages/email", &body).await.expect(202);
    }
    refused(world.post("/api/messages/email", &email("f")).await, 20);

    world.clock.advance(Duration::from_secs(wait));
    world.post(SMS, &sms("b")).await.expect(202);
}

#[tokio::test]
async fn only_accepted_and_unknown_messages_count_against_a_sender() {
    let world = limited(1_000, 5, 1_000).await;
    let send = async |key: &str, body: &Value| world.post_with_key(SMS, key, body).await;
    let first = send("a", &sms("a")).await.expect(202);
    assert_eq!(left(&first, "sender"), Some(4));
    // A replay and a conflict.
    let replay = send("a", &sms("a")).await.expect(202);
    assert_eq!((left(&replay, "sender"), replay.is_replay()), (Some(4), true));
    let conflict = send("a", &sms("b")).await.expect(422);
    assert_eq!(left(&conflict, "sender"), Some(4));
    // A definite failure.
    for (fault, status) in [(Fault::Away, 503), (Fault::Refuses, 500)] {
        world.store.set(fault);
        let failed = send("b", &sms("b")).await.expect(status);
        assert_eq!(left(&failed, "sender"), Some(4), "{fault:?}");
    }
    // The outcome is unknown: the charge stays.
    world.store.set(Fault::Silent {
        stored: false,
        found: true,
    });
    let unknown = send("c", &sms("c")).await.expect(503);
    assert_eq!(left(&unknown, "sender"), Some(3));
    world.store.set(Fault::None);
    send("d", &json!({"from": "+12016661234"})).await.expect(400);
    let next = send("e", &sms("e")).await.expect(202);
    assert_eq!(left(&next, "sender"), Some(2));
}

#[tokio::test]
async fn a_sender_over_its_limit_still_gets_its_replays() {
    let world = limited(1_000, 1, 1_000).await;
    let first = world.post_with_key(SMS, "k", &sms("a")).await.expect(202);
    for (route, body) in [(SMS, sms("a")), ("/api/messages", unified(&sms("a")))] {
        let replay = world.post_with_key(route, "k", &body).await.expect(202);
        assert_eq!((replay.json(), replay.is_replay()), (first.json(), true));
        assert_eq!(left(&replay, "sender"), Some(0));
    }
    let conflict = world.post_with_key(SMS, "k", &sms("b")).await;
    conflict.expect_problem(422, "idempotency_key_reused");
    let refusals = "trunkline_rate_limited_total{limit=\"sender\"}";
    assert_eq!(world.metric(refusals).await, 0.0);
    refused(world.post_with_key(SMS, "other", &sms("a")).await, 60);
    refused(world.post(SMS, &sms("a")).await, 60);
    assert_eq!(world.metric(refusals).await, 2.0);
    assert_eq!(world.messages_stored().await, 1);
    assert_eq!(world.metric("trunkline_idempotent_replays_total").await, 2.0);
}

#[tokio::test]
async fn inbound_routes_share_a_limit_of_their_own() {
    let world = limited(1, 1, 4).await;
    let simulated = json!({"channel": "sms", "from": "+18045551234", "to": "+12016661234", "body": "Hi"});
    let inbound = "/api/provider/mock/inbound";
    world
        .post("/api/webhooks/sms", &sms_webhook("1", "a"))
        .await
        .expect(202);
    world
        .post("/api/webhooks/sms", &sms_webhook("1", "a"))
        .await
        .expect(202);
    world.post("/api/webhooks/email", &json!({})).await.expect(400);
    world.post(inbound, &simulated).await.expect(202);
    let mut wait = 0;
    for (route, body) in [
        ("/api/webhooks/sms", sms_webhook("2", "a")),
        ("/api/webhooks/email", json!({})),
        (inbound, simulated.clone()),
    ] {
        wait = refused(world.post(route, &body).await, 15);
    }
    assert_eq!(world.messages_stored().await, 2);
    let refusals = "trunkline_rate_limited_total{limit=\"webhook_ip\"}";
    assert_eq!(world.metric(refusals).await, 3.0);
    let rejected = "trunkline_inbound_rejected_total{reason=\"rate_limited\"}";
    assert_eq!(world.metric(rejected).await, 3.0);
    // The send routes and the configuration have their own limits.
    world.post(SMS, &sms("a")).await.expect(202);
    world.get("/api/provider/mock/config").await.expect(200);
    world.clock.advance(Duration::from_secs(wait));
    world
        .post("/api/webhooks/sms", &sms_webhook("2", "a"))
        .await
        .expect(202);
}

/// Asks once in the name of each, in this order, and returns who was refused.
async fn refused_among<'a>(world: &World, names: &[&'a str]) -> Vec<&'a str> {
    let mut refused = Vec::new();
    for name in names {
        let request = world.client.request("POST", SMS).json(&json!({}));
        let response = request.header("x-forwarded-for", name).send().await;
        match response.status {
            429 => refused.push(*name),
            status => assert_eq!(status, 400),
        }
    }
    refused
}

#[tokio::test]
async fn only_a_trusted_proxy_may_name_its_client() {
    let world = limited(1, 1, 1).await;
    let names = ["203.0.113.1", "203.0.113.2", "127.0.0.2"];
    assert_eq!(refused_among(&world, &names).await, names[1..]);

    let world = World::with(|settings| {
        settings.engine.limits = LimitSettings::per_minute(1, 1, 1);
        settings.server.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    })
    .await;
    assert_eq!(refused_among(&world, &names).await, names[1..]);
}

#[tokio::test]
async fn a_trusted_proxy_names_its_clients() {
    let proxied = async || {
        World::with(|settings| {
            settings.engine.limits = LimitSettings::per_minute(1, 1, 1);
            settings.server.trusted_proxies =
                vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        })
        .await
    };
    let cases: [(&[&str], &[&str]); 5] = [
        (&["203.0.113.1", "203.0.113.2", "203.0.113.1"], &["203.0.113.1"]),
        // Entries left of the first untrusted address are not trusted.
        (
            &[
                "203.0.113.1",
                "198.51.100.9, 203.0.113.1",
                "203.0.113.1, 10.1.2.3",
            ],
            &["198.51.100.9, 203.0.113.1", "203.0.113.1, 10.1.2.3"],
        ),
        // An IPv6 client has a whole /64.
        (
            &["2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"],
            &["2001:db8:0:1:ffff::2"],
        ),
        (
            &["203.0.113.1", "::ffff:203.0.113.1", "203.0.113.1:4711"],
            &["::ffff:203.0.113.1", "203.0.113.1:4711"],
        ),
        // Without a valid address the proxy is charged.
        (&["unknown", "", "-"], &["", "-"]),
    ];
    for (names, expected) in cases {
        let world = proxied().await;
        assert_eq!(refused_among(&world, names).await, expected);
    }

    let world = proxied().await;
    for (name, status) in [("203.0.113.1", 202), ("203.0.113.2", 202), ("203.0.113.1", 429)] {
        let reply = world
            .client
            .request("POST", "/api/webhooks/sms")
            .json(&sms_webhook("1", "a"));
        reply.header("x-forwarded-for", name).send().await.expect(status);
    }
}

#[tokio::test]
async fn a_limit_of_0_is_off_and_shows_no_headers() {
    let world = limited(0, 1, 0).await;
    let response = world.post(SMS, &sms("a")).await.expect(202);
    let sender = BTreeSet::from(["\"sender\";q=1;w=60"]);
    assert_eq!(members(&response, "ratelimit-policy"), sender);
    assert_eq!(left(&response, "sender"), Some(0));
    assert_eq!(left(&response, "ip"), None);

    let world = limited(0, 0, 0).await;
    for body in ["a", "b", "c"] {
        let response = world.post(SMS, &sms(body)).await.expect(202);
        assert_eq!(response.header("ratelimit-policy"), None);
        assert_eq!(response.header("ratelimit"), None);
        world
            .post("/api/webhooks/sms", &sms_webhook(body, body))
            .await
            .expect(202);
    }
}

#[tokio::test]
async fn a_429_names_the_setting_that_refuses() {
    let names = |response: Response, setting: &str| {
        let detail = response.expect_problem(429, "rate_limited").json()["detail"].clone();
        assert!(detail.as_str().unwrap().contains(setting), "{detail}");
    };
    let world = limited(2, 1, 1).await;
    world.post(SMS, &sms("a")).await.expect(202);
    names(
        world.post(SMS, &sms("b")).await,
        "API_RATE_LIMIT_PER_SENDER_PER_MIN",
    );
    names(world.post(SMS, &sms("c")).await, "API_RATE_LIMIT_PER_IP_PER_MIN");
    world
        .post("/api/webhooks/sms", &sms_webhook("1", "a"))
        .await
        .expect(202);
    let response = world.post("/api/webhooks/sms", &sms_webhook("2", "b")).await;
    names(response, "API_RATE_LIMIT_WEBHOOK_PER_IP_PER_MIN");
}
