use super::exchange;
use crate::world::{World, sms};

#[tokio::test]
async fn before_it_is_ready_a_node_answers_healthz_only() {
    let mut world = World::starting(|_| {}).await;
    let client = world.client;
    let mut kept = client.begin("").await;
    let ready = "GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_eq!(exchange(&mut kept, ready).await.code(), "starting");

    let health = client.get("/healthz").await.expect(200);
    assert_eq!(health.json()["status"], "ok");
    client.request("HEAD", "/healthz").send().await.expect(200);
    for path in ["/readyz", "/metrics", "/api/messages", "/docs", "/nowhere"] {
        client.get(path).await.expect_problem(503, "starting");
    }
    let send = client.post("/api/messages/sms", &sms("a")).await;
    send.expect_problem(503, "starting");
    let named = client.request("GET", "/readyz").header("x-request-id", "order-1");
    assert_eq!(named.send().await.header("x-request-id"), Some("order-1"));

    world.ready();
    client.get("/readyz").await.expect(200);
    world.sent(&sms("a")).await;
    // A connection that waited can be used.
    assert_eq!(exchange(&mut kept, ready).await.status, 200);
}

#[tokio::test]
async fn a_node_that_is_not_ready_can_be_stopped() {
    let world = World::starting(|_| {}).await;
    world.client.get("/healthz").await.expect(200);
    world.stop().await.unwrap();
}
