use std::time::Duration;

use serde_json::json;
use store::Events;

use super::all;
use crate::world::{EventStream, World, sms, until, with};

const STREAM: &str = "/api/events/stream";

#[tokio::test]
async fn a_stream_begins_now_and_shows_each_event_once() {
    let world = World::new().await;
    let before = world.sent(&sms("before")).await;
    world.until(&before, "dispatched").await;
    let mut stream = EventStream::open(&world.client, STREAM, None).await;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    assert_eq!(stream.headers["cache-control"], "no-store");
    // It says where it begins, in case it breaks before the first event.
    let start = all(&world).await[2]["id"].as_str().unwrap().to_owned();
    assert_eq!(stream.block().await.unwrap(), format!(":\nid: {start}"));
    assert_eq!(world.metric("trunkline_event_streams").await, 1.0);
    let id = world.sent(&sms("a")).await;
    world.until(&id, "dispatched").await;
    for (expected, kind) in all(&world).await[3..]
        .iter()
        .zip(["message.accepted", "message.dispatched"])
    {
        let event = stream.next().await.unwrap();
        assert_eq!((event.event.as_str(), &event.data), (kind, expected));
        assert_eq!(event.id, expected["id"]);
    }
    drop(stream);
    // The node notices when it writes the next time.
    until("the place is free", async || {
        world.sent(&sms("b")).await;
        (world.metric("trunkline_event_streams").await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_resumes_where_it_was() {
    let world = World::new().await;
    for _ in 0..3 {
        let id = world.sent(&sms("a")).await;
        world.until(&id, "dispatched").await;
    }
    let events = all(&world).await;
    let id = |index: usize| events[index]["id"].as_str().unwrap();
    // The header wins over the parameter.
    for (path, last_event_id, next) in [
        (format!("{STREAM}?after={}", id(0)), None, 1),
        (format!("{STREAM}?after={}", id(0)), Some(id(3)), 4),
        (STREAM.to_owned(), Some(id(2)), 3),
        (format!("{STREAM}?after=0000000000000000"), None, 0),
    ] {
        let mut stream = EventStream::open(&world.client, &path, last_event_id).await;
        for expected in &events[next..] {
            assert_eq!(stream.next().await.unwrap().data, *expected, "{path}");
        }
    }
    let mut filtered = EventStream::open(
        &world.client,
        &format!("{STREAM}?after=0000000000000000&type=message.dispatched"),
        None,
    )
    .await;
    for index in [2, 4, 6] {
        assert_eq!(filtered.next().await.unwrap().data, events[index]);
    }
    let refused = world
        .client
        .request("GET", STREAM)
        .header("last-event-id", "7")
        .send()
        .await;
    refused.expect_invalid(&["Last-Event-ID"]);
    for (query, pointer) in [("after=7", "after"), ("type=all", "type")] {
        world
            .get(&format!("{STREAM}?{query}"))
            .await
            .expect_invalid(&[pointer]);
    }
}

#[tokio::test]
async fn a_slow_reader_misses_nothing() {
    let world = World::new().await;
    let mut stream = EventStream::open_slow(&world.client, STREAM).await;
    // Far more than the buffers between them hold. The recipient's number is part of no event.
    let mut last = String::new();
    for number in 0..1_500 {
        last = world
            .sent(&with(&sms("a"), "to", format!("+1804555{number:04}")))
            .await;
    }
    world.until(&last, "dispatched").await;
    until("all are dispatched", async || {
        let listed = world
            .get("/api/messages?status=dispatched&pageSize=1")
            .await
            .json();
        (listed["meta"]["total"] == 1_500).then_some(())
    })
    .await;
    let (mut events, mut after) = (Vec::new(), "oldest".to_owned());
    loop {
        let page = world
            .get(&format!("/api/events?limit=1000&after={after}"))
            .await
            .expect(200)
            .json();
        let items = page["items"].as_array().unwrap();
        if items.is_empty() {
            break;
        }
        events.extend(items.clone());
        page["meta"]["next_cursor"]
            .as_str()
            .unwrap()
            .clone_into(&mut after);
    }
    assert_eq!(events.len(), 4_500);
    for expected in &events {
        assert_eq!(stream.next().await.unwrap().data, *expected);
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_node_and_new_ones_are_refused() {
    let world = World::new().await;
    let mut stream = EventStream::open(&world.client, STREAM, None).await;
    let client = world.client;
    let stopping = tokio::spawn(world.stop_after(Duration::from_secs(8)));
    until("the stream has ended", async || {
        stream.next().await.is_none().then_some(())
    })
    .await;
    client.get(STREAM).await.expect_problem(503, "draining");
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_from_before_what_is_kept_is_gone() {
    let world = World::new().await;
    let id = world.sent(&sms("a")).await;
    world.until(&id, "dispatched").await;
    let first = all(&world).await[0]["id"].as_str().unwrap().to_owned();
    world.clock.advance(Duration::from_secs(60));
    world
        .store
        .purge_events(Duration::from_secs(1), 1_000)
        .await
        .unwrap();
    let gone = world
        .client
        .request("GET", STREAM)
        .header("last-event-id", first)
        .send()
        .await;
    gone.expect_problem(410, "events_expired");
}

#[tokio::test]
async fn a_stream_goes_on_after_an_outage() {
    let world = World::new().await;
    let mut stream = EventStream::open(&world.client, STREAM, None).await;
    world.store.set(crate::world::Fault::Away);
    world
        .get("/api/events")
        .await
        .expect_problem(503, "store_unavailable");
    world.store.set(crate::world::Fault::None);
    let id = world.sent(&sms("a")).await;
    let created = stream.next().await.unwrap();
    assert_eq!(
        (created.event.as_str(), &created.data["data"]["message_id"]),
        ("conversation.created", &json!(id))
    );
}
