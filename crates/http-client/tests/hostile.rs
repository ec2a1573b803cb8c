//! Addresses and names that must not be called, over real sockets: a listener on loopback sees every connection.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use hyper::{HeaderMap, Method};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use trunkline_http_client::{AllowedNetworks, Answer, Client, ClientError, ClientSettings, Resolver, Target};

const WITHIN: Duration = Duration::from_secs(5);

/// Hosts as they may stand in a URL. With the default settings none may be called.
const HOSTILE: [&str; 60] = [
    // Loopback, in all spellings.
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1.",
    "%31%32%37.0.0.1",
    "①②⑦.⓪.⓪.①",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    // Unspecified: it reaches this machine too.
    "0.0.0.0",
    "0",
    "0.1.2.3",
    "[::]",
    // Private.
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.1",
    "[fc00::1]",
    "[fd12:3456:789a::1]",
    // Link-local, with the metadata services of clouds.
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "[fe80::1]",
    "[febf::1]",
    "[fec0::1]",
    // Between a provider and its customers.
    "100.64.0.1",
    "100.127.255.255",
    "100.100.100.200",
    // Special purposes, benchmarks, reserved, multicast, broadcast.
    "192.0.0.192",
    "198.18.0.1",
    "240.0.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "[ff02::1]",
    "[ff0e::1]",
    "[100::1]",
    // IPv4 inside of IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP.
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::127.0.0.1]",
    "[::10.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::1]",
    "[2002:a9fe:a9fe::1]",
    "[2002:c0a8:101::1]",
    "[2001:0:7f00:1::1]",
    "[2606:4700::5efe:10.0.0.1]",
    "[2606:4700::200:5efe:127.0.0.1]",
];

/// Answers each look-up with the next of its answers, and the last for ever.
#[derive(Debug)]
struct Names {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Names {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |ips: &&[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self {
            answers: answers.iter().map(parse).collect(),
            asked: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(self.answers[asked.min(self.answers.len() - 1)].clone())
    }
}

fn client(networks: &str, names: &Arc<Names>) -> Client {
    let settings = ClientSettings {
        networks: networks.parse::<AllowedNetworks>().unwrap(),
        idle_max: 4,
        idle_for: Duration::from_secs(30),
        answer_bytes_max: 1_024,
    };
    Client::new(settings, Arc::clone(names) as _)
}

async fn call(client: &Client, url: &str) -> Result<Answer, ClientError> {
    let target = Target::parse(url).unwrap();
    let body = Bytes::from_static(b"{}");
    client
        .call(Method::POST, target, HeaderMap::new(), body, WITHIN)
        .await
}

/// Listens on all addresses of this machine, counts connections and answers each request in the same way.
async fn listen(answer: impl AsRef<[u8]> + Clone + Send + 'static) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("0.0.0.0", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                let mut bytes = [0; 1_024];
                while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                    request.extend_from_slice(&bytes[..read]);
                    if request.ends_with(b"\r\n\r\n{}") {
                        request.clear();
                        if stream.write_all(answer.as_ref()).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    (port, connections)
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn no_hostile_address_is_connected_to() {
    let (port, connections) = listen(OK).await;
    let names = Names::new(&[&[]]);
    let client = client("none", &names);
    for host in HOSTILE {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/hook");
            let called = call(&client, &url).await;
            assert_eq!(called, Err(ClientError::RefusedAddress), "{url}");
        }
    }
    assert_eq!(connections.load(Ordering::Relaxed), 0);
    assert_eq!(names.asked.load(Ordering::Relaxed), 0, "an address was looked up");
}

#[tokio::test]
async fn no_name_leads_to_a_hostile_address() {
    let (port, connections) = listen(OK).await;
    let mut tried = 0;
    for host in HOSTILE {
        let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() else {
            continue;
        };
        tried += 1;
        let names = Names::new(&[&[&ip.to_string()]]);
        let client = client("none", &names);
        for name in [
            "internal.example",
            "localhost",
            "localhost.",
            "LOCALHOST",
            "127.0.0.1.nip.io",
        ] {
            let called = call(&client, &format!("http://{name}:{port}/")).await;
            assert_eq!(called, Err(ClientError::RefusedAddress), "{name}: {ip}");
        }
    }
    assert!(tried >= 40, "{tried}");
    assert_eq!(connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_address_after_the_check_gains_nothing() {
    let (port, _) = listen(OK).await;
    // The first answer may be called, and all later ones lead elsewhere.
    let names = Names::new(&[&["127.0.0.2"], &["10.0.0.1"]]);
    let client = client("127.0.0.2/32", &names);
    let url = format!("http://rebind.example:{port}/");
    assert_eq!(call(&client, &url).await.unwrap().status, 200);
    assert_eq!(
        names.asked.load(Ordering::Relaxed),
        1,
        "one look-up for one connection"
    );
    // The kept connection still leads to the checked address.
    assert_eq!(call(&client, &url).await.unwrap().status, 200);
    assert_eq!(names.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn of_mixed_addresses_only_the_allowed_ones_are_called() {
    let (port, connections) = listen(OK).await;
    let names = Names::new(&[&["127.0.0.1", "169.254.169.254", "::ffff:127.0.0.3", "127.0.0.2"]]);
    let client = client("127.0.0.2/32", &names);
    let answer = call(&client, &format!("http://mixed.example:{port}/")).await;
    assert_eq!(answer.unwrap().status, 200);
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (inside, seen) = listen(OK).await;
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:{inside}/\r\ncontent-length: 0\r\n\r\n"
    );
    let (port, _) = listen(redirect).await;
    let client = client("loopback", &Names::new(&[&["127.0.0.1"]]));
    let answer = call(&client, &format!("http://localhost:{port}/")).await.unwrap();
    assert_eq!(answer.status, 307);
    assert_eq!(seen.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn of_a_long_answer_the_first_bytes_are_returned() {
    let long = |bytes: usize| {
        let head = format!("HTTP/1.1 500 Oops\r\ncontent-length: {bytes}\r\n\r\n");
        [head.into_bytes(), vec![b'x'; bytes]].concat()
    };
    let client = client("loopback", &Names::new(&[&["127.0.0.1"]]));
    for (bytes, cut, connections_of_two_calls) in [(1_024, false, 1), (1_025, true, 1), (4 << 20, true, 2)] {
        let (port, connections) = listen(long(bytes)).await;
        for _ in 0..2 {
            let answer = call(&client, &format!("http://localhost:{port}/")).await.unwrap();
            assert_eq!((answer.body.len(), answer.cut), (1_024, cut));
        }
        let connections = connections.load(Ordering::Relaxed);
        assert_eq!(connections, connections_of_two_calls, "{bytes} bytes");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_named() {
    let client = client("loopback", &Names::new(&[&["127.0.0.1"]]));
    for (answer, expected) in [
        (
            &b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nless"[..],
            ClientError::Timeout,
        ),
        (b"HTTP/1.1 200 OK\r\n", ClientError::Timeout),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", ClientError::Protocol),
        (&[b'x'; 100_000], ClientError::Protocol),
    ] {
        let (port, _) = listen(answer).await;
        let target = Target::parse(&format!("http://localhost:{port}/")).unwrap();
        let within = Duration::from_millis(500);
        let body = Bytes::from_static(b"{}");
        let called = client.call(Method::POST, target, HeaderMap::new(), body, within);
        assert_eq!(called.await, Err(expected));
    }
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = plain.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let called = call(&client, &format!("https://localhost:{port}/")).await;
    assert_eq!(called, Err(ClientError::Tls), "plain text behind https");
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    assert_eq!(
        call(&client, &format!("http://{free}/")).await,
        Err(ClientError::Connect)
    );
    let nowhere = self::client("loopback", &Names::new(&[&[]]));
    let called = call(&nowhere, "http://nowhere.example/").await;
    assert_eq!(called, Err(ClientError::UnknownHost));
}
