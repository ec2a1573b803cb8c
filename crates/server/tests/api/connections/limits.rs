use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{exchange, is_usable, next_answer, until_closed};
use crate::world::{World, within};

const PER_ADDRESS_MAX: usize = 4;
/// The head of a request whose body does not come yet.
const BEGUN: &str = "POST /api/messages/sms HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
                     content-length: 1000\r\nexpect: 100-continue\r\n\r\n";

async fn limited(trusted: &[&str]) -> World {
    let trusted: Vec<_> = trusted.iter().map(|network| network.parse().unwrap()).collect();
    World::with(|settings| {
        settings.connections.per_address_max = PER_ADDRESS_MAX;
        settings.connections.trusted_proxies = trusted;
    })
    .await
}

async fn connect(world: &World) -> TcpStream {
    let mut socket = world.client.begin("").await;
    assert!(is_usable(&mut socket).await);
    socket
}

/// A connection with a request under way.
async fn connect_and_begin(world: &World) -> TcpStream {
    let mut socket = world.client.begin(BEGUN).await;
    assert_eq!(next_answer(&mut socket).await.status, 100);
    socket
}

#[tokio::test]
async fn the_longest_idle_connection_of_an_address_is_closed_for_a_new_one() {
    let world = limited(&[]).await;
    let mut sockets = Vec::new();
    for _ in 0..PER_ADDRESS_MAX {
        sockets.push(connect(&world).await);
    }
    // The first was used last, so the second has been idle longest.
    assert!(is_usable(&mut sockets[0]).await);
    let mut fifth = connect(&world).await;
    until_closed(&mut sockets[1]).await;
    for socket in [0, 2, 3] {
        assert!(is_usable(&mut sockets[socket]).await, "{socket}");
    }
    assert!(is_usable(&mut fifth).await);
    // A silent connection is closed like an idle one.
    let world = limited(&[]).await;
    let mut silent = world.client.begin("").await;
    let mut busy = Vec::new();
    for _ in 0..PER_ADDRESS_MAX {
        busy.push(connect_and_begin(&world).await);
    }
    until_closed(&mut silent).await;
}

#[tokio::test]
async fn a_connection_with_a_request_under_way_is_not_closed_for_a_new_one() {
    let world = limited(&[]).await;
    let mut busy = Vec::new();
    for _ in 0..PER_ADDRESS_MAX {
        busy.push(connect_and_begin(&world).await);
    }
    let mut refused = world.client.begin("").await;
    let mut rest = Vec::new();
    let end = within("it is closed", refused.read_to_end(&mut rest)).await;
    assert!(rest.is_empty(), "{end:?}");
    for socket in &mut busy {
        assert_eq!(exchange(socket, "x".repeat(1_000)).await.status, 400);
    }
    // Their places are free again.
    connect(&world).await;
}

#[tokio::test]
async fn trusted_proxies_have_no_limit_per_address() {
    let world = limited(&["127.0.0.0/8"]).await;
    let mut sockets = Vec::new();
    for _ in 0..3 * PER_ADDRESS_MAX {
        sockets.push(connect(&world).await);
    }
    for socket in &mut sockets {
        assert!(is_usable(socket).await);
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_timeout() {
    let world = World::with(|settings| settings.connections.idle_timeout = Duration::from_secs(1)).await;
    let mut socket = connect(&world).await;
    until_closed(&mut socket).await;
}

/// A proxy keeps connections for a minute; a client that sends nothing, or half a head, is gone within seconds.
#[tokio::test]
async fn a_silent_connection_is_closed_before_an_idle_one() {
    let world = World::new().await;
    let mut idle = connect(&world).await;
    let mut silent = world.client.begin("").await;
    let mut dripping = connect(&world).await;
    dripping.write_all(b"GET /healthz HT").await.unwrap();
    until_closed(&mut silent).await;
    let mut rest = Vec::new();
    // The connection may be reset: it was within its headers.
    let _ = within("it is cut off", dripping.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
    assert!(is_usable(&mut idle).await);
}
