//! Nodes are replaced one after another behind a balancer that is set up as docs/operations.md says, and no client notices.

use std::{fs, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::world::{Kind, Load, Node, Pace, SOON, Stopwatch, Targets, World, own_addresses, until};

/// Restarts behind each balancer.
const RESTARTS: usize = 20;
const PACE: Pace = Pace {
    clients: 8,
    every: Duration::from_millis(20),
    timeout: SOON,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_nginx_a_rolling_restart_fails_no_request() {
    replaced_without_a_failed_request("nginx", |directory, documented| {
        // The rest of a configuration, which says nothing about nodes: one process that stays in front.
        let text = format!(
            "daemon off; master_process off; pid {0}/nginx.pid; error_log {0}/nginx.log; events {{}}\n\
             http {{\naccess_log off; client_body_temp_path {0}/body; proxy_temp_path {0}/proxy;\n\
             fastcgi_temp_path {0}/fastcgi; uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;\n{documented}}}\n",
            directory.display()
        );
        let file = directory.join("nginx.conf");
        fs::write(&file, text).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(directory).arg("-c").arg(file);
        command
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_haproxy_a_rolling_restart_fails_no_request() {
    replaced_without_a_failed_request("haproxy", |directory, documented| {
        let file = directory.join("haproxy.cfg");
        fs::write(&file, documented).unwrap();
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(file);
        command
    })
    .await;
}

async fn replaced_without_a_failed_request(name: &str, command: impl FnOnce(&Path, &str) -> Command) {
    let [front, one, two] = own_addresses();
    let world = World::new(Kind::Postgres).set("API_LAME_DUCK_SECS", 1);
    let mut nodes = vec![world.start_node_at(one).await, world.start_node_at(two).await];
    let _balancer = start(
        command(world.directory(), &documented(name, front, one, two)),
        front,
    )
    .await;
    let load = Load::start(&Targets::at([format!("http://{front}")]), PACE);
    let watch = Stopwatch::start();
    for restart in 0..RESTARTS {
        let place = restart % 2;
        // The load balancer must see both nodes before one stops.
        for node in &nodes {
            until("the balancer uses the node", SOON, async || {
                has_accepted(node).await.then_some(())
            })
            .await;
        }
        nodes.remove(place).stop().await;
        nodes.insert(place, world.start_node_at([one, two][place]).await);
    }
    let report = load.stop().await;
    println!(
        "{RESTARTS} restarts behind {name} in {:?}: {} requests answered 202, other answers {:?}, {} not connected, {} cut \
         off, the slowest after {:?}",
        watch.elapsed(),
        report.acknowledgements.len(),
        report.refusals,
        report.not_connected,
        report.cut_off,
        report.slowest,
    );
    let log = fs::read_to_string(world.directory().join("nginx.log")).unwrap_or_default();
    assert!(report.refusals.is_empty(), "{:?}\n{log}", report.refusals);
    assert_eq!(report.unanswered(), 0);
    world.audit_final(&report.offers).await;
}

/// The block of docs/operations.md in this language, with these addresses instead of its own.
fn documented(language: &str, front: SocketAddr, one: SocketAddr, two: SocketAddr) -> String {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let document = fs::read_to_string(document).unwrap();
    let (_, rest) = document.split_once(&format!("```{language}\n")).unwrap();
    let (mut text, _) = rest
        .split_once("```")
        .map(|(block, rest)| (block.to_owned(), rest))
        .unwrap();
    for (shown, ours) in [
        ("10.0.0.11:8080", one.to_string()),
        ("10.0.0.12:8080", two.to_string()),
        ("listen 80;", format!("listen {front};")),
        ("bind :80\n", format!("bind {front}\n")),
    ] {
        text = text.replace(shown, &ours);
    }
    assert!(
        text.contains(&front.to_string()) && text.contains(&two.to_string()),
        "{text}"
    );
    text
}

/// Starts a program and waits until it listens. It is killed when dropped.
async fn start(mut command: Command, front: SocketAddr) -> Child {
    let path = std::env::var("PATH").unwrap_or_default();
    let process = command
        .env("PATH", format!("{path}:/usr/sbin"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let process = process.expect("bin/test installs the balancers");
    until("the balancer listens", SOON, async || {
        TcpStream::connect(front).await.ok()
    })
    .await;
    process
}

/// Whether a message has come through to the node since it was started.
async fn has_accepted(node: &Node) -> bool {
    let answer = node.get("/metrics").await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    text.contains("method=\"POST\",status=\"202\"")
}
