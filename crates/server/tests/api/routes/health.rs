use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::world::{Fault, World, email, mms, read_to_end, sms, sms_webhook, unified, until};

/// Long enough to see that something does not happen, which nothing else could tell.
const NOT_YET: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_healthy_node_is_alive_and_ready() {
    let world = World::new().await;
    for (path, status) in [("/healthz", "ok"), ("/readyz", "ready")] {
        let response = world.get(path).await.expect(200);
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_eq!(response.json(), json!({"status": status}));
    }
}

#[tokio::test]
async fn without_its_store_a_node_is_alive_but_not_ready() {
    let world = World::new().await;
    world.sent(&sms("a")).await;
    world.store.set(Fault::Away);
    world.get("/healthz").await.expect(200);
    world
        .get("/readyz")
        .await
        .expect_problem(503, "store_unavailable");
    world.get("/metrics").await.expect(200);
    world.store.set(Fault::None);
    world.get("/readyz").await.expect(200);
}

#[tokio::test]
async fn a_node_that_stops_finishes_what_it_began() {
    let world = World::new().await;
    let (client, body) = (world.client, sms("a").to_string());
    let head = format!(
        "POST /api/messages/sms HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let mut connection = client.begin(&head).await;
    // A later connection is answered, so the node has accepted this one.
    world.get("/healthz").await.expect(200);
    let mut stopping = tokio::spawn(world.stop());
    until("no new connection is taken", async || {
        tokio::net::TcpStream::connect(client.address).await.err()
    })
    .await;
    let gave_up = tokio::time::timeout(NOT_YET, &mut stopping).await;
    assert!(gave_up.is_err(), "it stopped with a request under way");
    connection.write_all(body.as_bytes()).await.unwrap();
    let answer = read_to_end(connection).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn counts_match_what_was_done() {
    let world = World::new().await;
    let id = world.sent(&sms("a")).await;
    world.until(&id, "dispatched").await;
    for body in [sms("b"), mms("", &["https://example.com/a"]), email("c")] {
        world.sent(&body).await;
    }
    world
        .post("/api/messages", &unified(&email("d")))
        .await
        .expect(202);
    for _ in 0..3 {
        let reply = sms_webhook("1", "e");
        world.post("/api/webhooks/sms", &reply).await.expect(202);
        world
            .post_with_key("/api/messages/sms", "k", &sms("f"))
            .await
            .expect(202);
    }
    world.post("/api/messages/sms", &json!({})).await.expect(400);
    world.post("/api/webhooks/email", &json!({})).await.expect(400);
    world.get("/api/messages/nobody").await.expect(404);
    world.get("/nowhere").await.expect(404);
    world.get("/nowhere/else").await.expect(404);
    let made_up = world.client.request("BREW", "/api/messages/sms").send().await;
    made_up.expect(405);
    until("everything is dispatched", async || {
        let listed = world.get("/api/messages?status=dispatched").await.json();
        (listed["meta"]["total"] == 6).then_some(())
    })
    .await;
    let attempts = |provider: &str, channel: &str| {
        format!(
            "trunkline_dispatch_attempts_total{{provider=\"{provider}\",channel=\"{channel}\",outcome=\"success\"}}"
        )
    };
    let requests = |route: &str, method: &str, status: u16| {
        format!("trunkline_http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}")
    };
    let accepted = |channel: &str, direction: &str| {
        format!("trunkline_messages_accepted_total{{channel=\"{channel}\",direction=\"{direction}\"}}")
    };
    let cases = [
        (accepted("sms", "outbound"), 3.0),
        (accepted("mms", "outbound"), 1.0),
        (accepted("email", "outbound"), 2.0),
        (accepted("sms", "inbound"), 1.0),
        (
            "trunkline_conversations_created_total{channel=\"sms\"}".into(),
            1.0,
        ),
        (
            "trunkline_conversations_reused_total{channel=\"sms\"}".into(),
            4.0,
        ),
        (
            "trunkline_conversations_created_total{channel=\"email\"}".into(),
            1.0,
        ),
        (
            "trunkline_conversations_reused_total{channel=\"email\"}".into(),
            1.0,
        ),
        ("trunkline_idempotent_replays_total".into(), 2.0),
        ("trunkline_inbound_rejected_total{reason=\"invalid\"}".into(), 1.0),
        (attempts("sms-mms", "sms"), 3.0),
        (attempts("sms-mms", "mms"), 1.0),
        (attempts("email", "email"), 2.0),
        (
            "trunkline_dispatch_latency_seconds_count{provider=\"sms-mms\"}".into(),
            4.0,
        ),
        (
            "trunkline_breaker_state{provider=\"email\",state=\"closed\"}".into(),
            1.0,
        ),
        (
            "trunkline_breaker_state{provider=\"email\",state=\"open\"}".into(),
            0.0,
        ),
        (requests("/api/messages/sms", "POST", 202), 6.0),
        (requests("/api/messages/sms", "POST", 400), 1.0),
        (requests("/api/messages/sms", "other", 405), 1.0),
        (requests("/api/messages", "POST", 202), 1.0),
        (requests("/api/webhooks/sms", "POST", 202), 3.0),
        (requests("/api/webhooks/email", "POST", 400), 1.0),
        (requests("/api/messages/{id}", "GET", 404), 1.0),
        (requests("none", "GET", 404), 2.0),
        ("trunkline_http_request_seconds_count{route=\"none\"}".into(), 2.0),
        ("trunkline_invalid_routing_total".into(), 0.0),
    ];
    for (metric, expected) in cases {
        until(&format!("{metric} is {expected}"), async || {
            (world.metric(&metric).await == expected).then_some(())
        })
        .await;
    }
    // Repeats are committed too, and change nothing.
    let batches = world.metric("trunkline_commit_batch_messages_sum").await;
    assert_eq!(batches, 11.0);
    let commits = world.metric("trunkline_commit_seconds_count").await;
    assert!((1.0..=11.0).contains(&commits), "{commits}");
}

#[tokio::test]
async fn queues_are_counted_for_each_scrape() {
    let world = World::with(|settings| {
        let backoff = resilience::Backoff::new(Duration::from_secs(600), Duration::from_secs(900));
        settings.engine.dispatch.backoff = backoff.unwrap();
    })
    .await;
    world
        .simulate(json!({"timeout_pct": 0, "error_pct": 100, "ratelimit_pct": 0}))
        .await;
    world.sent(&sms("a")).await;
    let waiting = "trunkline_outbox_depth{provider=\"sms-mms\",state=\"waiting\"}";
    until("it waits", async || {
        (world.metric(waiting).await == 1.0).then_some(())
    })
    .await;
    world
        .simulate(json!({"timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0}))
        .await;
    world.clock.advance(Duration::from_secs(1_000));
    until("nothing waits", async || {
        (world.metric(waiting).await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_metric_of_the_contract_is_on_the_page() {
    let names = [
        ("trunkline_messages_accepted_total", "counter"),
        ("trunkline_inbound_rejected_total", "counter"),
        ("trunkline_dispatch_attempts_total", "counter"),
        ("trunkline_dispatch_latency_seconds", "histogram"),
        ("trunkline_dispatch_short_circuited_total", "counter"),
        ("trunkline_breaker_state", "gauge"),
        ("trunkline_breaker_transitions_total", "counter"),
        ("trunkline_rate_limited_total", "counter"),
        ("trunkline_conversations_created_total", "counter"),
        ("trunkline_conversations_reused_total", "counter"),
        ("trunkline_conversation_failures_total", "counter"),
        ("trunkline_outbox_depth", "gauge"),
        ("trunkline_outbox_oldest_seconds", "gauge"),
        ("trunkline_settlements_set_aside", "gauge"),
        ("trunkline_dead_letters_total", "counter"),
        ("trunkline_invalid_routing_total", "counter"),
        ("trunkline_idempotent_replays_total", "counter"),
        ("trunkline_commit_batch_messages", "histogram"),
        ("trunkline_commit_seconds", "histogram"),
        ("trunkline_http_requests_total", "counter"),
        ("trunkline_http_request_seconds", "histogram"),
        ("trunkline_inbound_conflicts_total", "counter"),
        ("trunkline_receipts_total", "counter"),
        ("trunkline_receipts_matched_later_total", "counter"),
        ("trunkline_receipts_unmatched", "gauge"),
        ("trunkline_messages_canceled_total", "counter"),
        ("trunkline_waits_total", "counter"),
        ("trunkline_waits_under_way", "gauge"),
        ("trunkline_event_lag_seconds", "histogram"),
        ("trunkline_event_streams", "gauge"),
        ("trunkline_webhook_endpoints_disabled_total", "counter"),
        ("trunkline_build_info", "gauge"),
        ("process_start_time_seconds", "gauge"),
        ("process_cpu_seconds_total", "counter"),
        ("process_resident_memory_bytes", "gauge"),
        ("process_virtual_memory_bytes", "gauge"),
        ("process_open_fds", "gauge"),
        ("process_max_fds", "gauge"),
    ];
    let world = World::with(|settings| {
        settings.only(&["sms-mms"]);
        settings.engine.dispatch.attempts_max = 1;
        settings.engine.dispatch.lane.concurrency = 1;
        settings.engine.dispatch.lane.breaker.error_threshold = 1;
        settings.engine.limits = engine::LimitSettings::per_minute(1_000, 6, 1_000);
    })
    .await;
    world.post("/api/messages/email", &email("a")).await.expect(500);
    world.post("/api/webhooks/sms", &json!({})).await.expect(400);
    for _ in 0..2 {
        world
            .post_with_key("/api/messages/sms", "k", &sms("a"))
            .await
            .expect(202);
    }
    world.store.set(Fault::Refuses);
    world
        .post("/api/messages/sms", &sms("b"))
        .await
        .expect_problem(500, "internal");
    world.store.set(Fault::None);
    world
        .simulate(json!({"timeout_pct": 100, "error_pct": 0, "ratelimit_pct": 0}))
        .await;
    // The first call hangs and opens the breaker; the others are short-circuited.
    for _ in 0..5 {
        world.post("/api/messages/sms", &sms("c")).await.expect(202);
    }
    world.post("/api/messages/sms", &sms("d")).await.expect(429);
    until("one is dead and the breaker is open", async || {
        let dead = world
            .metric("trunkline_dead_letters_total{provider=\"sms-mms\",reason=\"exhausted\"}")
            .await;
        let turned_away = world
            .metric("trunkline_dispatch_short_circuited_total{provider=\"sms-mms\"}")
            .await;
        // Queues are counted less often than this polls.
        let counted = world
            .metric("trunkline_outbox_depth{provider=\"sms-mms\",state=\"dead\"}")
            .await;
        ([dead, counted] == [1.0, 1.0] && turned_away >= 1.0).then_some(())
    })
    .await;
    let page = world.get("/metrics").await.expect(200);
    assert_eq!(
        page.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let page = page.text();
    for (name, kind) in names {
        let declared = format!("# TYPE {name} {kind}\n");
        assert!(page.contains(&declared), "{declared}");
        assert!(
            page.contains(&format!("# HELP {name} ")),
            "no help text of {name}"
        );
        let sample = match kind {
            "histogram" => format!("\n{name}_count"),
            _ => format!("\n{name}"),
        };
        assert!(page.contains(&sample), "no sample of {name}");
    }
    let version = format!(
        "trunkline_build_info{{version=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION")
    );
    for line in [
        version.as_str(),
        "trunkline_rate_limited_total{limit=\"sender\"} 1",
        "trunkline_conversation_failures_total{channel=\"sms\"} 1",
        "trunkline_inbound_rejected_total{reason=\"invalid\"} 1",
        "trunkline_inbound_rejected_total{reason=\"body_too_large\"} 0",
        "trunkline_invalid_routing_total 1",
        "trunkline_breaker_transitions_total{provider=\"sms-mms\",from=\"closed\",to=\"open\"} 1",
        "trunkline_breaker_state{provider=\"sms-mms\",state=\"open\"} 1",
        "trunkline_outbox_depth{provider=\"sms-mms\",state=\"dead\"} 1",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line}");
    }
    let declared = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let others = declared.filter(|family| names.iter().all(|(name, _)| name != family));
    assert_eq!(
        others.collect::<Vec<_>>(),
        Vec::<&str>::new(),
        "not in the contract"
    );
}

#[tokio::test]
async fn openmetrics_is_returned_only_if_accept_names_it() {
    let world = World::new().await;
    let ask = async |accept: &str| {
        let page = world.client.request("GET", "/metrics").header("accept", accept);
        page.send().await.expect(200)
    };
    for accept in ["text/plain", "*/*", "text/html"] {
        let page = ask(accept).await;
        let content_type = page.header("content-type").unwrap();
        assert_eq!(
            content_type, "text/plain; version=0.0.4; charset=utf-8",
            "{accept}"
        );
        assert!(!page.text().contains("# EOF"));
    }
    let page = ask("application/openmetrics-text;version=1.0.0,text/plain;q=0.5").await;
    let content_type = page.header("content-type").unwrap();
    assert_eq!(
        content_type,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(page.text().contains("# TYPE trunkline_invalid_routing counter\n"));
    assert!(page.text().ends_with("# EOF\n"));
}
