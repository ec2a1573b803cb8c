use std::time::Duration;

use domain::Outcome;
use serde_json::json;
use store::{Outage, Reads};

use crate::world::{Fault, Log, World, email, sms, sms_webhook, unified, until};

const READS: [&str; 7] = [
    "/api/messages",
    "/api/messages/01890a5d-ac96-774b-bcce-b302099a8057",
    "/api/conversations",
    "/api/conversations/1",
    "/api/conversations/1/messages",
    "/api/providers",
    "/readyz",
];

#[tokio::test]
async fn without_the_store_every_route_answers_503() {
    let world = World::new().await;
    let id = world.sent(&sms("before")).await;
    world.until(&id, "dispatched").await;
    world.store.set(Fault::Away);
    for path in READS {
        world.get(path).await.expect_problem(503, "store_unavailable");
    }
    for (route, body) in [
        ("/api/messages/sms", sms("a")),
        ("/api/messages/email", email("a")),
        ("/api/messages", unified(&sms("a"))),
        ("/api/webhooks/sms", sms_webhook("1", "a")),
        ("/api/messages/redrive", json!({"channel": "sms"})),
        (&format!("/api/messages/{id}/redrive"), json!({})),
    ] {
        let response = world.post(route, &body).await;
        assert_eq!((response.status, route), (503, route));
        response.expect_problem(503, "store_unavailable");
    }
    // Routes without the store still work.
    world.get("/api/provider/mock/config").await.expect(200);
    world.post("/api/messages/sms", &json!({})).await.expect(400);

    world.store.set(Fault::None);
    assert_eq!(world.messages_stored().await, 1);
    let id = world.sent(&sms("after")).await;
    world.until(&id, "dispatched").await;
    world
        .post("/api/webhooks/sms", &sms_webhook("1", "a"))
        .await
        .expect(202);
}

#[tokio::test]
async fn a_commit_without_an_answer_is_outcome_unknown() {
    let world = World::new().await;
    world.store.set(Fault::Silent {
        stored: false,
        found: true,
    });
    for (route, body) in [
        ("/api/messages/sms", sms("a")),
        ("/api/messages", unified(&email("a"))),
        ("/api/webhooks/sms", sms_webhook("1", "a")),
    ] {
        let response = world.post(route, &body).await;
        assert_eq!((response.status, route), (503, route));
        response.expect_problem(503, "outcome_unknown");
    }
    world.store.set(Fault::Silent {
        stored: true,
        found: true,
    });
    for (route, body) in [
        ("/api/messages/sms", sms("a")),
        ("/api/webhooks/sms", sms_webhook("1", "a")),
    ] {
        world.post(route, &body).await.expect(202);
    }
    world.store.set(Fault::None);
    assert_eq!(world.messages_stored().await, 2);
    world
        .post("/api/webhooks/sms", &sms_webhook("1", "a"))
        .await
        .expect(202);
    assert_eq!(world.messages_stored().await, 2);
}

/// A commit may come after its client got `outcome_unknown`: the message is then leased, and no worker has it.
#[tokio::test]
async fn a_late_commit_is_dispatched_within_seconds_with_one_attempt() {
    let world = World::with(|settings| settings.engine.dispatch.poll = Duration::from_secs(3_600)).await;
    world.store.set(Fault::Late);
    let answer = world.post("/api/messages/sms", &sms("a")).await;
    answer.expect_problem(503, "outcome_unknown");
    // The node looks the message up, and it is not there yet.
    world.store.releases(1).await;
    world.store.set(Fault::None);
    let [id] = world.store.land().await[..] else {
        panic!()
    };
    let message = world.until(&id.to_string(), "dispatched").await;
    assert_eq!(message["attempts"].as_array().map(Vec::len), Some(1), "{message}");
}

#[tokio::test]
async fn a_stopping_node_releases_a_late_commit() {
    let world = World::with(|settings| settings.engine.dispatch.poll = Duration::from_secs(3_600)).await;
    world.store.set(Fault::Late);
    let answer = world.post("/api/messages/sms", &sms("a")).await;
    answer.expect_problem(503, "outcome_unknown");
    world.store.releases(1).await;
    world.store.set(Fault::None);
    let [id] = world.store.land().await[..] else {
        panic!()
    };
    world.drain_engine().await;
    let detail = world.store.message(id).await.unwrap().unwrap();
    assert!(detail.waiting.is_none_or(|waiting| !waiting.leased), "{detail:?}");
    assert!(
        detail
            .attempts
            .iter()
            .all(|attempt| attempt.outcome == Outcome::Success)
    );
}

#[tokio::test]
async fn a_redrive_without_an_answer_is_outcome_unknown() {
    let world = World::with(|settings| settings.engine.dispatch.attempts_max = 1).await;
    let calm = json!({"timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0});
    world
        .simulate(json!({"timeout_pct": 0, "error_pct": 100, "ratelimit_pct": 0}))
        .await;
    let id = world.sent(&sms("a")).await;
    world.until(&id, "failed").await;
    world.simulate(calm).await;
    world.store.set(Fault::SilentRedrive);
    let redrive = format!("/api/messages/{id}/redrive");
    let lost = world.client.request("POST", &redrive).send().await;
    lost.expect_problem(503, "outcome_unknown");
    world.store.set(Fault::None);
    world.until(&id, "dispatched").await;
}

#[tokio::test]
async fn a_message_that_the_store_refuses_for_good_is_a_500() {
    let world = World::new().await;
    world.store.set(Fault::Refuses);
    for (route, body) in [
        ("/api/messages/sms", sms("a")),
        ("/api/webhooks/sms", sms_webhook("1", "a")),
    ] {
        world.post(route, &body).await.expect_problem(500, "internal");
    }
    let failures = "trunkline_conversation_failures_total{channel=\"sms\"}";
    assert_eq!(world.metric(failures).await, 2.0);
}

const SENDS: [&str; 3] = ["/api/messages/sms", "/api/messages/email", "/api/messages"];

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let world = World::with(|settings| settings.engine.commit_queue_max = 1).await;
    world.store.set(Fault::Slow);
    let client = world.client;
    let send = move |body: &'static str| {
        tokio::spawn(async move { client.post("/api/messages/sms", &sms(body)).await })
    };
    let committing = send("being committed");
    world.store.batches(1).await;
    let waiting = send("waits in the queue");
    // The first two are still there.
    until("the queue is full", async || {
        let third = world.post("/api/webhooks/sms", &json!({})).await;
        (third.status == 503).then_some(third)
    })
    .await
    .expect_problem(503, "overloaded");
    for route in SENDS {
        let refused = world.post(route, &json!({})).await;
        refused.expect_problem(503, "overloaded");
    }
    world.get("/api/messages").await.expect(200);
    world.store.set(Fault::None);
    for accepted in [committing, waiting] {
        accepted.await.unwrap().expect(202);
    }
    assert_eq!(world.messages_stored().await, 2);
    world.post("/api/messages/sms", &sms("c")).await.expect(202);
}

#[tokio::test]
async fn a_store_that_does_not_answer_times_out_within_two_seconds() {
    let world = World::new().await;
    world.store.set(Fault::Slow);
    let client = world.client;
    let answers = async {
        // The first is with the store: its outcome is unknown. The second waits in the queue and is withdrawn.
        let first = tokio::spawn(async move { client.post("/api/messages/sms", &sms("a")).await });
        world.store.batches(1).await;
        let second = client.post("/api/messages/sms", &sms("b")).await;
        (first.await.unwrap(), second)
    };
    let budget = Duration::from_secs(4);
    let (first, second) = tokio::time::timeout(budget, answers).await.unwrap();
    first.expect_problem(503, "outcome_unknown");
    second.expect_problem(503, "store_unavailable");
    world.store.set(Fault::None);
    until(
        "the first is stored after all, and the second never",
        async || (world.messages_stored().await == 1).then_some(()),
    )
    .await;
}

#[tokio::test]
async fn an_outage_and_its_end_are_logged_once() {
    let log = Log::capture();
    let world = World::new().await;
    for outage in 1..=2 {
        world.store.set(Fault::Away);
        for _ in 0..5 {
            world.post("/api/messages/sms", &sms("a")).await.expect(503);
        }
        world.store.set(Fault::None);
        for _ in 0..5 {
            world.post("/api/messages/sms", &sms("a")).await.expect(202);
        }
        assert_eq!(log.lines_with("messages cannot be stored").len(), outage);
        assert_eq!(log.lines_with("messages are accepted again").len(), outage);
    }
}

#[tokio::test]
async fn an_outage_is_named_to_the_client() {
    let world = World::new().await;
    for (outage, words) in [
        (Outage::Away, "The database cannot be reached."),
        (Outage::Slow, "The database did not answer in time."),
        (Outage::Busy, "The database is busy."),
        (Outage::ReadOnly, "The database is read-only."),
        (Outage::Full, "The disk of the database is full."),
        (Outage::Locked, "The database is locked by another program."),
    ] {
        world.store.set(Fault::Unavailable(outage));
        let send = world.post("/api/messages/sms", &sms("a")).await;
        let receive = world.post("/api/webhooks/sms", &sms_webhook("1", "a")).await;
        let stored = "Nothing of this request was stored: try again after the time in Retry-After.";
        for refused in [send, receive] {
            let problem = refused.expect_problem(503, "store_unavailable").json();
            assert_eq!(problem["detail"], format!("{words} {stored}"));
        }
        for path in ["/api/messages", "/readyz"] {
            let problem = world
                .get(path)
                .await
                .expect_problem(503, "store_unavailable")
                .json();
            let again = "Try again after the time in Retry-After.";
            assert_eq!(problem["detail"], format!("{words} {again}"));
        }
        let redrive = world
            .post("/api/messages/redrive", &json!({"channel": "sms"}))
            .await;
        let problem = redrive.expect_problem(503, "store_unavailable").json();
        assert!(
            problem["detail"].as_str().unwrap().starts_with(words),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn the_log_has_the_cause_of_an_internal_error_under_its_request_id() {
    let log = Log::capture();
    let world = World::new().await;
    for (fault, method, path) in [
        (Fault::Panics, "GET", "/api/messages"),
        (Fault::Refuses, "POST", "/api/messages/sms"),
        (Fault::Refuses, "POST", "/api/webhooks/sms"),
    ] {
        world.store.set(fault);
        let id = format!("{method}:{path}");
        let request = world.client.request(method, path).header("x-request-id", &id);
        let body = if path.contains("webhooks") {
            sms_webhook("1", "a")
        } else {
            sms("a")
        };
        let failed = request.json(&body).send().await.expect_problem(500, "internal");
        assert!(
            failed.json()["detail"]
                .as_str()
                .unwrap()
                .contains("the service's log has the cause")
        );
        let lines = log.lines_with(&format!("request_id=\"{id}\""));
        assert!(lines.iter().any(|line| line.contains("ERROR")), "{lines:?}");
    }
}
