use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::world::{Kind, Node, Stopwatch, World};

/// The server's limits are 10 s for headers and 5 s for bodies and answers. A busy machine may add some.
const CUT_MAX: Duration = Duration::from_secs(25);
/// How often a slow client moves.
const DRIP_EVERY: Duration = Duration::from_millis(250);
/// The usual wait of a healthy client beside them. The unread answers keep a small machine busy for a moment, so the longest
/// wait may be longer.
const USUAL_MAX: Duration = Duration::from_millis(500);
const WORST_MAX: Duration = Duration::from_secs(10);
const SOCKETS_EACH: usize = 50;

/// How a client is slow.
#[derive(Debug, Clone, Copy)]
enum Slow {
    /// Connects and says nothing.
    Silent,
    /// Sends its headers a byte at a time.
    DripsHeaders,
    /// Sends its body a byte at a time.
    DripsBody,
    /// Asks for large answers one after another and reads none.
    NeverReads,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_cut_off_and_others_are_served() {
    let world = World::new(Kind::Sqlite);
    let node = world.start_node().await;
    store_large_answers(&node).await;
    let watch = Stopwatch::start();
    let mut clients = JoinSet::new();
    for slow in [
        Slow::Silent,
        Slow::DripsHeaders,
        Slow::DripsBody,
        Slow::NeverReads,
    ] {
        for _ in 0..SOCKETS_EACH {
            let authority = node.authority().to_owned();
            clients.spawn(async move {
                let cut = tokio::time::timeout(CUT_MAX, until_cut_off(slow, &authority)).await;
                assert!(
                    cut.is_ok(),
                    "a client that {slow:?} is still there after {CUT_MAX:?}"
                );
                (slow, watch.elapsed())
            });
        }
    }
    let mut sends = Vec::new();
    let mut cut = Vec::new();
    while !clients.is_empty() {
        let sms = json!({"from": "+12016661234", "to": "+18045551234", "type": "sms", "body": format!("number {}", sends.len())});
        let watch = Stopwatch::start();
        node.post("/api/messages/sms", &sms).await.expect(202);
        sends.push(watch.elapsed());
        // The pause belongs to the healthy client; cut-off connections are noted meanwhile.
        let _ = tokio::time::timeout(DRIP_EVERY, async {
            while let Some(client) = clients.join_next().await {
                cut.push(client.unwrap());
            }
        })
        .await;
    }
    assert_eq!(cut.len(), 4 * SOCKETS_EACH);
    let last = |wanted: Slow| {
        let of_kind = cut
            .iter()
            .filter(|(slow, _)| std::mem::discriminant(slow) == std::mem::discriminant(&wanted));
        of_kind.map(|(_, after)| *after).max().unwrap()
    };
    sends.sort_unstable();
    let (usual, worst) = (sends[sends.len() / 2], sends[sends.len() - 1]);
    println!(
        "cut off at the latest: silent {:?}, dripping headers {:?}, dripping a body {:?}, never reading {:?}; beside them \
         {} sends, usually in {usual:?}, {worst:?} at worst",
        last(Slow::Silent),
        last(Slow::DripsHeaders),
        last(Slow::DripsBody),
        last(Slow::NeverReads),
        sends.len(),
    );
    assert!(
        usual <= USUAL_MAX && worst <= WORST_MAX,
        "a healthy client waited: usually {usual:?}, {worst:?} at worst"
    );
}

/// A page of answers that fills every buffer between here and there in a few requests.
async fn store_large_answers(node: &Node) {
    for number in 0..4 {
        let body = format!("{number}").repeat(100_000);
        let email =
            json!({"from": "desk@example.org", "to": "guest@example.com", "subject": "Large", "body": body});
        node.post("/api/messages/email", &email).await.expect(202);
    }
}

/// Behaves like this until the server closes the connection.
async fn until_cut_off(slow: Slow, authority: &str) {
    let mut socket = connect(authority).await;
    let send =
        format!("POST /api/messages/sms HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\n");
    match slow {
        Slow::Silent => drain(&mut socket).await,
        Slow::DripsHeaders => drip(&mut socket, send.trim_end()).await,
        Slow::DripsBody => {
            let head = format!("{send}content-length: 10000\r\n\r\n");
            socket.write_all(head.as_bytes()).await.unwrap();
            drip(&mut socket, "{").await;
        }
        Slow::NeverReads => {
            let read = format!("GET /api/conversations/1/messages HTTP/1.1\r\nhost: {authority}\r\n\r\n");
            // Without reading, the end shows as a reset: the server has closed a socket we still write to.
            let mut rest = &b""[..];
            loop {
                if socket.take_error().unwrap().is_some() {
                    return;
                }
                if rest.is_empty() {
                    rest = read.as_bytes();
                }
                match socket.try_write(rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
                tokio::time::sleep(DRIP_EVERY / 5).await;
            }
        }
    }
}

async fn connect(authority: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // A small window, so that what is not read piles up at the server soon.
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(authority.parse().unwrap()).await.unwrap()
}

/// Sends a byte now and then, first of `bytes`, then of nothing in particular, until the server has closed.
async fn drip(socket: &mut TcpStream, bytes: &str) {
    let (mut reader, mut writer) = socket.split();
    let mut bytes = bytes.bytes().chain(std::iter::repeat(b'x'));
    let send = async {
        let mut ticks = tokio::time::interval(DRIP_EVERY);
        loop {
            ticks.tick().await;
            let byte = bytes.next().unwrap_or_default();
            if writer.write_all(&[byte]).await.is_err() {
                break;
            }
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = send => {}
        _ = reader.read_to_end(&mut answer) => {}
    }
}

/// Reads until the server has closed.
async fn drain(socket: &mut TcpStream) {
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = socket.read_to_end(&mut answer).await;
}
