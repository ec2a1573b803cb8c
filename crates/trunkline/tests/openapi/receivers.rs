//! The receivers in docs/webhooks.md get webhooks and verify them with the official libraries.

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::{
    node::Node,
    tools::{node_modules, python, tests},
};

const WAIT_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[tokio::test]
async fn the_documented_python_receiver_verifies_every_webhook() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("receiver.py"), documented("python")).unwrap();
    accepts_webhooks_through_a_rotation(folder.path(), &[python("python3"), "receiver.py".into()]).await;
}

#[tokio::test]
async fn the_documented_node_receiver_verifies_every_webhook() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("receiver.mjs"), documented("js")).unwrap();
    symlink(node_modules(), folder.path().join("node_modules")).unwrap();
    accepts_webhooks_through_a_rotation(folder.path(), &["node".into(), "receiver.mjs".into()]).await;
}

/// The only block of the guide in this language.
fn documented(language: &str) -> String {
    let guide = fs::read_to_string(tests("../../../docs/webhooks.md")).unwrap();
    let fence = format!("\n```{language}\n");
    let [_, rest] = guide.split(&fence).collect::<Vec<_>>().try_into().unwrap();
    rest.split_once("\n```").unwrap().0.to_owned()
}

async fn accepts_webhooks_through_a_rotation(folder: &Path, program: &[PathBuf]) {
    let node = Node::start(folder).await;
    let port = free_port();
    let endpoint = json!({"url": format!("http://127.0.0.1:{port}/hook")}).to_string();
    let endpoint = parsed(&node.ask("POST", "/api/webhook-endpoints", endpoint).await);
    let path = format!("/api/webhook-endpoints/{}", endpoint["id"].as_str().unwrap());
    let old = endpoint["secret"].as_str().unwrap();

    let receiver = Receiver::start(folder, program, port, old).await;
    let first = send(&node).await;
    receiver.until_seen(&node, &first).await;

    // Both secrets sign now.
    let rotated = parsed(
        &node
            .ask("POST", &format!("{path}/rotate-secret"), String::new())
            .await,
    );
    let new = rotated["secret"].as_str().unwrap();
    assert_ne!(new, old);
    let second = send(&node).await;
    receiver.until_seen(&node, &second).await;
    receiver.stop().await;
    let receiver = Receiver::start(folder, program, port, new).await;
    let third = send(&node).await;
    receiver.until_seen(&node, &third).await;
    receiver.stop().await;

    // The receiver notices a signature of another secret.
    let other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let receiver = Receiver::start(folder, program, port, other).await;
    send(&node).await;
    node.wait_for(&format!("{path}/deliveries?status=pending"), "401")
        .await;
    assert_eq!(receiver.printed(), "");
}

/// The id of an accepted message.
async fn send(node: &Node) -> String {
    let message =
        json!({"channel": "sms", "from": "+12016661234", "to": "+18045551234", "body": "Hello, é!"});
    let accepted = parsed(&node.ask("POST", "/api/messages", message.to_string()).await);
    accepted["id"].as_str().unwrap().to_owned()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

struct Receiver {
    process: Child,
    output: PathBuf,
    errors: PathBuf,
}

impl Receiver {
    async fn start(folder: &Path, program: &[PathBuf], port: u16, secret: &str) -> Self {
        let [output, errors] = ["receiver.out", "receiver.err"].map(|name| folder.join(name));
        let process = Command::new(&program[0])
            .args(&program[1..])
            .current_dir(folder)
            .env("WEBHOOK_SECRET", secret)
            .env("PORT", port.to_string())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(File::create(&output).unwrap())
            .stderr(File::create(&errors).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let receiver = Self {
            process,
            output,
            errors,
        };
        receiver
            .until("it listens", async || {
                TcpStream::connect(("127.0.0.1", port)).await.is_ok()
            })
            .await;
        receiver
    }

    /// Waits until it printed both events of a message, which it does after it verified them. They come in order.
    async fn until_seen(&self, node: &Node, message: &str) {
        let events = ["message.accepted", "message.dispatched"].map(|kind| format!("{kind} {message}\n"));
        self.until(
            &format!("{events:?}, log of the node: {}", node.log()),
            async || {
                let printed = self.printed();
                let places = events.each_ref().map(|event| printed.find(event));
                assert!(places[1].is_none() || places[0] < places[1], "{printed}");
                places[1].is_some() && places[0].is_some()
            },
        )
        .await;
    }

    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let held = async {
            while !holds().await {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let waited = tokio::time::timeout(WAIT_MAX, held).await;
        assert!(
            waited.is_ok(),
            "waited {WAIT_MAX:?} until {what}\n{}\n{}",
            self.printed(),
            fs::read_to_string(&self.errors).unwrap()
        );
    }

    fn printed(&self) -> String {
        fs::read_to_string(&self.output).unwrap()
    }

    async fn stop(mut self) {
        self.process.kill().await.unwrap();
    }
}
