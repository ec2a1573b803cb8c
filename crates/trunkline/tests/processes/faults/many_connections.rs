use std::net::{Ipv4Addr, SocketAddr};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::world::{Kind, Node, SOON, World};

/// More than the 4,096 places of a node.
const SOCKETS: usize = 4_150;
/// The clients use several addresses, so that the limit per address does not apply.
const ADDRESSES: u8 = 10;

/// What keeps a place.
#[derive(Debug, Clone, Copy)]
enum Keeps {
    /// Has had an answer, and waits with the next request.
    Idle,
    /// Has sent nothing.
    Silent,
    /// Has sent half a head.
    Head,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_do_not_keep_others_out() {
    let world = World::new(Kind::Sqlite).set("API_IDLE_TIMEOUT_SECS", 600);
    let node = world.start_node().await;
    for keeps in [Keeps::Idle, Keeps::Silent, Keeps::Head] {
        let mut opening = JoinSet::new();
        for address in 0..ADDRESSES {
            let to: SocketAddr = node.authority().parse().unwrap();
            opening.spawn(async move {
                let mut sockets = Vec::new();
                for _ in 0..SOCKETS / usize::from(ADDRESSES) {
                    sockets.push(open(address, to, keeps).await);
                }
                sockets
            });
        }
        let sockets: Vec<TcpStream> = opening.join_all().await.into_iter().flatten().collect();
        assert_eq!(sockets.len(), SOCKETS);
        serves(&node, keeps).await;
    }
    // From one address alone there are no more than it may have, and it locks itself out as little.
    let to = node.authority().parse().unwrap();
    let mut sockets = Vec::new();
    for _ in 0..1_100 {
        sockets.push(open(200, to, Keeps::Idle).await);
    }
    let mut end = [0; 1];
    assert_eq!(
        sockets[0].read(&mut end).await.unwrap(),
        0,
        "the first has made way"
    );
    serves(&node, Keeps::Idle).await;
    assert!(!node.log().contains("new ones are refused"), "{}", node.log());
}

async fn serves(node: &Node, beside: Keeps) {
    for number in 0..5 {
        // A connection of its own for each request: those of the client may be among the longest idle.
        let mut fresh = open(100 + number, node.authority().parse().unwrap(), Keeps::Silent).await;
        let answer = ask(&mut fresh, "/healthz").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "beside {beside:?}: {answer}");
        assert!(ask(&mut fresh, "/readyz").await.starts_with("HTTP/1.1 200"));
        let body =
            json!({"from": "+12016661234", "to": "+18045551234", "type": "sms", "body": "Hello"}).to_string();
        let send = format!(
            "POST /api/messages/sms HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        fresh.write_all(send.as_bytes()).await.unwrap();
        assert!(answer_of(&mut fresh).await.starts_with("HTTP/1.1 202"));
    }
}

async fn open(from: u8, to: SocketAddr, keeps: Keeps) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::from((Ipv4Addr::new(127, 0, 1, from + 1), 0)))
        .unwrap();
    let connect = tokio::time::timeout(SOON, socket.connect(to)).await;
    let mut socket = connect.expect("it is accepted").unwrap();
    match keeps {
        Keeps::Idle => drop(ask(&mut socket, "/healthz").await),
        Keeps::Silent => {}
        Keeps::Head => socket.write_all(b"GET /healthz HTTP/1.1\r\nho").await.unwrap(),
    }
    socket
}

async fn ask(socket: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    answer_of(socket).await
}

/// The beginning of an answer; all of them are small.
async fn answer_of(socket: &mut TcpStream) -> String {
    let mut answer = vec![0; 4_096];
    let read = tokio::time::timeout(SOON, socket.read(&mut answer)).await;
    let length = read.expect("an answer").unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}
