use std::time::Duration;

use tokio::net::TcpStream;

use super::{exchange, next_answer, until_closed};
use crate::world::{World, sms, until};

/// Long enough for the slowest machine to make the requests of a test.
const LAME_DUCK: Duration = Duration::from_secs(8);
const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
const READY: &str = "GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn a_lame_duck_announces_the_end_and_still_serves() {
    let world = World::new().await;
    let client = world.client;
    let mut idle = client.begin("").await;
    assert!(!exchange(&mut idle, HEALTH).await.closes());
    let mut unused = client.begin("").await;
    assert!(!exchange(&mut unused, HEALTH).await.closes());
    let stopping = tokio::spawn(world.stop_after(LAME_DUCK));
    until("it is not ready", async || {
        let answer = client.get("/readyz").await;
        (answer.status == 503).then_some(())
    })
    .await;
    client.get("/readyz").await.expect_problem(503, "draining");
    for _ in 0..3 {
        let response = client.post("/api/messages/sms", &sms("a")).await.expect(202);
        assert_eq!(response.header("connection"), Some("close"));
    }
    let answer = exchange(&mut idle, READY).await;
    assert_eq!((answer.status, answer.closes()), (503, true));
    until_closed(&mut idle).await;
    // A connection without a further request is closed at the end.
    until_closed(&mut unused).await;
    stopping.await.unwrap().unwrap();
    TcpStream::connect(client.address).await.unwrap_err();
}

#[tokio::test]
async fn connections_in_the_backlog_are_answered() {
    let world = World::new().await;
    let client = world.client;
    // The test and the server share one thread: the server sees the stop and these connections at its next turn.
    let mut sockets = Vec::new();
    let std_connect = || std::net::TcpStream::connect(client.address).unwrap();
    let waiting: Vec<_> = (0..50).map(|_| std_connect()).collect();
    for socket in waiting {
        socket.set_nonblocking(true).unwrap();
        sockets.push(TcpStream::from_std(socket).unwrap());
    }
    let stopping = tokio::spawn(world.stop());
    for socket in &mut sockets {
        let answer = exchange(socket, HEALTH).await;
        assert_eq!((answer.status, answer.closes()), (200, true));
    }
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_silent_connection_does_not_delay_the_end() {
    let world = World::new().await;
    let mut silent = world.client.begin("").await;
    world.get("/healthz").await.expect(200);
    world.stop().await.unwrap();
    until_closed(&mut silent).await;
}

#[tokio::test]
async fn an_answer_under_way_is_finished() {
    let world = World::new().await;
    let body = sms("a").to_string();
    let head = format!(
        "POST /api/messages/sms HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let mut socket = world.client.begin(&head).await;
    assert_eq!(next_answer(&mut socket).await.status, 100);
    let stopping = tokio::spawn(world.stop());
    let answer = exchange(&mut socket, body).await;
    assert_eq!((answer.status, answer.closes()), (202, true));
    stopping.await.unwrap().unwrap();
}
