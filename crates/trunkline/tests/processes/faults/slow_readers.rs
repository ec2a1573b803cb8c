use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::world::{Kind, Node, SOON, Stopwatch, World, until};

/// On a page: 4 MB, as much as the store puts on one.
const MESSAGES: usize = 16;
const BODY_BYTES: usize = 250_000;
/// Their answers would take 240 MB.
const READERS: usize = 60;
/// Requests that each makes at once: the first answers vanish in the buffers of the kernel.
const REQUESTS: usize = 4;
/// Memory of the process: 64 MiB of answers, as much again while they are made, and the rest of the program.
const MEMORY_KB_MAX: u64 = 160 * 1024;
/// How often one that reads at all takes a little.
const DRIP_EVERY: Duration = Duration::from_millis(500);

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
    for answer in node.post_at_once("/api/messages/email", &[], &bodies).await {
        answer.expect(202);
    }
    let before = node.memory().expect("on Linux");
    let watch = Stopwatch::start();
    let mut asking = JoinSet::new();
    for number in 0..READERS {
        let authority = node.authority().to_owned();
        asking.spawn(async move { ask(&authority, number).await });
    }
    let (answers, sockets): (Vec<u16>, Vec<TcpStream>) = asking.join_all().await.into_iter().unzip();
    // Every second one takes a little now and then, the others nothing.
    let mut readers = JoinSet::new();
    let mut idle = Vec::new();
    for (number, socket) in sockets.into_iter().enumerate() {
        if number % 4 < 2 {
            readers.spawn(drip(socket));
        } else {
            idle.push(socket);
        }
    }
    has_room_again(&node).await;
    let after = node.memory().expect("on Linux");
    let served = answers.iter().filter(|status| **status == 200).count();
    println!(
        "{READERS} slow readers, {served} of them served: {} MiB before, {} MiB at most, a page served again after {:?}",
        before.peak / 1024,
        after.peak / 1024,
        watch.elapsed()
    );
    assert!(
        served > 0 && answers.iter().all(|status| [200, 503].contains(status)),
        "{answers:?}"
    );
    assert!(after.peak - before.peak < MEMORY_KB_MAX, "{before:?} {after:?}");
}

/// The room is given back with the connections that held it.
async fn has_room_again(node: &Node) {
    until("a page is served again", SOON, async || {
        let answer = node.get("/api/messages?pageSize=16").await;
        assert!([200, 503].contains(&answer.status), "{}", answer.status);
        (answer.status == 200).then_some(())
    })
    .await;
}

/// Asks for pages, reads no more than the first status, and returns that.
async fn ask(authority: &str, number: usize) -> (u16, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut socket = socket.connect(authority.parse().unwrap()).await.unwrap();
    let path = [
        "/api/messages?pageSize=16",
        "/api/conversations/1/messages?pageSize=16",
    ][number % 2];
    let request = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\n\r\n").repeat(REQUESTS);
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    let read = tokio::time::timeout(SOON, socket.read_exact(&mut start)).await;
    read.expect("an answer").unwrap();
    (String::from_utf8_lossy(&start[9..]).parse().unwrap(), socket)
}

async fn drip(mut socket: TcpStream) {
    let mut some = [0; 2_048];
    let mut ticks = tokio::time::interval(DRIP_EVERY);
    while socket.read(&mut some).await.is_ok_and(|length| length > 0) {
        ticks.tick().await;
    }
}
