use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::world::{Kind, Node, SOON, Stopwatch, World, until};

const MESSAGES: usize = 200;
const BODY_BYTES: usize = 250_000;
const READERS: usize = 24;
/// What all their answers may take: 64 MiB of answers, as much again while they are made, and what the rest needs.
const MEMORY_KB_MAX: u64 = 220 * 1024;
/// The server's limit for a whole answer is 30 s. A busy machine may add some.
const CUT_MAX: Duration = Duration::from_secs(45);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_of_large_pages_take_a_bounded_part_of_the_memory() {
    let world = World::new(Kind::Sqlite);
    let node = world.start_node().await;
    let bodies: Vec<_> = (0..MESSAGES)
        .map(|number| {
            let body = format!("{number} ").repeat(BODY_BYTES / format!("{number} ").len());
            json!({"from": "desk@example.org", "to": "guest@example.com", "subject": "Large", "body": body})
        })
        .collect();
    for some in bodies.chunks(10) {
        for answer in node.post_at_once("/api/messages/email", &[], some).await {
            answer.expect(202);
        }
    }
    let before = node.memory().expect("on Linux");
    let watch = Stopwatch::start();
    let mut readers = JoinSet::new();
    for number in 0..READERS {
        let authority = node.authority().to_owned();
        readers.spawn(async move { read_slowly(&authority, number).await });
    }
    let mut answers = Vec::new();
    while let Some(answer) = readers.join_next().await {
        answers.push(answer.unwrap());
    }
    let after = node.memory().expect("on Linux");
    let served = answers.iter().filter(|status| **status == 200).count();
    println!(
        "{READERS} slow readers, {served} of them served: {} MiB before, {} MiB at most, all gone after {:?}",
        before.peak / 1024,
        after.peak / 1024,
        watch.elapsed()
    );
    assert!(
        served > 0 && answers.iter().all(|status| [200, 503].contains(status)),
        "{answers:?}"
    );
    assert!(after.peak - before.peak < MEMORY_KB_MAX, "{before:?} {after:?}");
    has_room_again(&node).await;
}

/// The room is given back with the connections that held it.
async fn has_room_again(node: &Node) {
    until("a page is served again", SOON, async || {
        let answer = node.get("/api/messages?pageSize=200").await;
        assert!([200, 503].contains(&answer.status), "{}", answer.status);
        (answer.status == 200).then_some(())
    })
    .await;
}

/// Asks for a page, reads a little of it now and then until the server has had enough, and returns the status.
async fn read_slowly(authority: &str, number: usize) -> u16 {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut socket: TcpStream = socket.connect(authority.parse().unwrap()).await.unwrap();
    let path = [
        "/api/messages?pageSize=200",
        "/api/conversations/1/messages?pageSize=200",
    ][number % 2];
    let request = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let reading = async {
        let mut start = [0; 12];
        socket.read_exact(&mut start).await.unwrap();
        let mut some = [0; 2_048];
        let mut ticks = tokio::time::interval(Duration::from_millis(500));
        while socket.read(&mut some).await.is_ok_and(|length| length > 0) {
            ticks.tick().await;
        }
        String::from_utf8_lossy(&start[9..]).parse().unwrap()
    };
    let status = tokio::time::timeout(CUT_MAX, reading).await;
    status.expect("the server has had enough in time")
}
