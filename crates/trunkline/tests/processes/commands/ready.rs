//! `trunkline ready`.

use throwaway_postgres::{Cluster, Proxy};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{failed, told};
use crate::world::{Kind, World, own_addresses};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_look_succeeds_only_while_a_node_is_ready() {
    let [address] = own_addresses();
    let world = World::new(Kind::Sqlite);
    let url = format!("http://{address}");
    let ready = ["ready", "--url", &url];
    let before = failed(&world.run(&ready).await);
    let expected = format!(
        "trunkline: cannot reach {url}: nothing listens there. Start a service with `trunkline`, or name another with \
         --url or TRUNKLINE_URL\n"
    );
    assert_eq!(before, expected);
    let node = world.start_node_at(address).await;
    let output = world.run(&ready).await;
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("{url} is ready\n")
    );
    node.stop().await;
    failed(&world.run(&ready).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_waits_for_a_node_that_starts_later() {
    let [address] = own_addresses();
    let world = World::new(Kind::Sqlite);
    let listener = TcpListener::bind(address).await.unwrap();
    let running = world.start(&["ready", "--url", &format!("http://{address}"), "--wait", "60s"]);
    // It has looked once when this ends, and found no node.
    drop(listener.accept().await.unwrap());
    drop(listener);
    let node = world.start_node_at(address).await;
    let output = running.output().await;
    assert!(output.status.success(), "{}", told(&output));
    // The node itself has said so.
    let answered = "trunkline_http_requests_total{route=\"/readyz\",method=\"GET\",status=\"200\"}";
    assert_eq!(node.metric(answered).await, 1.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_waits_for_its_database_is_not_ready_yet() {
    let cluster = Cluster::shared();
    let url = tokio::task::block_in_place(|| cluster.create_database());
    let proxy = Proxy::before(cluster.port());
    let world = World::on(proxy.url(&url));
    proxy.refuse();
    let mut node = world.start_unready_node().await;
    let ready = ["ready", "--url", &node.url];
    let looked = failed(&world.run(&ready).await);
    let expected = format!(
        "trunkline: {} is not ready: 503 starting: This node is starting",
        node.url
    );
    assert!(looked.starts_with(&expected), "{looked}");
    assert!(looked.contains("Try again in 1 s."), "{looked}");
    // Each answer takes up to 1.5 s here.
    let waited = failed(&world.run(&[&ready[..], &["--wait", "4s"]].concat()).await);
    assert!(
        waited.starts_with(&format!(
            "trunkline: waited 4s: {} is not ready: 503 starting",
            node.url
        )),
        "{waited}"
    );

    let running = world.start(&[&ready[..], &["--wait", "60"]].concat());
    proxy.restore();
    let output = running.output().await;
    assert!(output.status.success(), "{}", told(&output));
    node.until_ready().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_ends_with_the_wait_and_says_what_to_check() {
    let world = World::new(Kind::Sqlite);
    // The kernel takes connections, and no program answers them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    for (wait, begins) in [
        (&[][..], format!("trunkline: no answer from {url} yet.")),
        (
            &["--wait", "200ms"],
            format!("trunkline: waited 200ms: no answer from {url} yet."),
        ),
    ] {
        let message = failed(&world.run(&[&["ready", "--url", &url], wait].concat()).await);
        assert!(
            message.starts_with(&begins) && message.contains("Check --url"),
            "{message}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_url_is_named() {
    let world = World::new(Kind::Sqlite);
    let node = world.start_node().await;
    let below = format!("{}/below", node.url);
    let other = another_server().await;
    for (url, said) in [
        (
            &*below,
            &*format!("trunkline: {below} is not ready: 404 not_found"),
        ),
        (&other, "The answer is not Trunkline's: check --url."),
        ("localhost:8080", "--url: use a URL such as"),
        (
            "http://no-such-host.invalid",
            "cannot reach http://no-such-host.invalid",
        ),
    ] {
        let message = failed(&world.run(&["ready", "--url", url]).await);
        assert!(message.contains(said), "{message}");
    }
    let usage = world.run(&["ready", "--wait", "soon"]).await;
    assert_eq!(usage.status.code(), Some(2));
    assert!(
        told(&usage).contains("use a duration from 1ms to 60m"),
        "{}",
        told(&usage)
    );
}

/// A program that answers one request with 200, but not as Trunkline does.
async fn another_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        assert_ne!(client.read(&mut [0; 1_024]).await.unwrap(), 0);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nIt works!";
        client.write_all(answer).await.unwrap();
    });
    url
}
