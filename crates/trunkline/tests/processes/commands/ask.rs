use std::{process::Stdio, sync::Arc};

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

use super::{failed, printed, told};
use crate::world::{Kind, Node, SOON, World, text, until};

const SMS: [&str; 6] = [
    "--from",
    "+12016661234",
    "--to",
    "+18045551234",
    "--body",
    "Hello!",
];

/// A command that asks this node.
fn asking<'a>(node: &'a Node, command: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    [&[command, "--url", &node.url][..], arguments].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sent_message_is_printed() {
    let world = World::new(Kind::Sqlite);
    let node = world.start_node().await;
    let sent = world.run(&asking(&node, "send", &SMS)).await;
    assert!(told(&sent).contains("accepted "), "{}", told(&sent));

    let key = [&SMS[..], &["--json", "--idempotency-key", "order-17"]].concat();
    let accepted = printed(&world.run(&asking(&node, "send", &key)).await);
    assert_eq!(accepted["status"], "accepted");
    assert_eq!(printed(&world.run(&asking(&node, "send", &key)).await), accepted);
    let other = [
        "--from",
        "Shop",
        "--to",
        "+18045551234",
        "--body",
        "x",
        "--idempotency-key",
        "order-17",
    ];
    let refused = failed(&world.run(&asking(&node, "send", &other)).await);
    assert!(refused.contains("422 idempotency_key_reused"), "{refused}");

    for (arguments, channel) in [
        (&["--to", "+18045551234", "--from", "Shop"][..], "sms"),
        (
            &[
                "--to",
                "+18045551234",
                "--from",
                "Shop",
                "--attachment",
                "https://example.org/a.png",
            ],
            "mms",
        ),
        (
            &[
                "--to",
                "a@example.org",
                "--from",
                "b@example.org",
                "--subject",
                "-Hi-",
            ],
            "email",
        ),
    ] {
        let arguments = [arguments, &["--body", "- Hello", "--wait", "--json"]].concat();
        let message = printed(&world.run(&asking(&node, "send", &arguments)).await);
        assert_eq!(
            (&message["channel"], &message["status"]),
            (&json!(channel), &json!("dispatched"))
        );
        assert_eq!(message["attempts"][0]["outcome"], "success");
    }
    assert_eq!(world.count("messages").await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_message_fails_the_command() {
    let world = World::new(Kind::Sqlite)
        .set("API_PROVIDER_SMS_ERROR_PCT", 100)
        .set("API_WORKER_MAX_ATTEMPTS", 2)
        .set("API_WORKER_BACKOFF_BASE_MS", 1)
        .set("API_PROVIDER_EMAIL_ENABLED", false);
    let node = world.start_node().await;
    let wait = [&SMS[..], &["--wait=60"]].concat();
    let output = world.run(&asking(&node, "send", &wait)).await;
    assert!(failed(&output).contains("the message failed"));
    let shown = told(&output);
    for part in [
        "failed ",
        "attempt 1 at sms-mms: error",
        "attempt 2",
        "reason: exhausted",
    ] {
        assert!(shown.contains(part), "{part} is not in: {shown}");
    }

    let email = ["--from", "a@example.org", "--to", "b@example.org", "--body", "x"];
    let refused = failed(&world.run(&asking(&node, "send", &email)).await);
    assert!(
        refused.contains("500 no_provider") && refused.contains("request id"),
        "{refused}"
    );
    let bad = [
        "--from",
        "+12016661234",
        "--to",
        "nobody",
        "--body",
        "x",
        "--json",
    ];
    let output = world.run(&asking(&node, "send", &bad)).await;
    let refused = failed(&output);
    assert!(
        refused.contains("400 invalid") && refused.contains("\n  /to: "),
        "{refused}"
    );
    let problem: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(problem["errors"][0]["pointer"], "/to");

    node.stop().await;
    let gone = failed(
        &world
            .run(&[
                "send",
                "--url",
                "http://127.0.0.1:9",
                "--from",
                "a",
                "--to",
                "1",
                "--body",
                "x",
            ])
            .await,
    );
    assert!(
        gone.contains("cannot reach") && gone.contains("`trunkline`"),
        "{gone}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_are_listed() {
    let world = World::new(Kind::Sqlite);
    let node = world.start_node().await;
    for (from, to, body) in [
        ("+12016661234", "+18045551234", "Hello"),
        ("+18045551234", "+12016661234", "an escape \u{1b}[2J\nand a line"),
        ("Shop", "+18045551234", "Sale"),
    ] {
        let sms = json!({"from": from, "to": to, "type": "sms", "body": body});
        node.post("/api/messages/sms", &sms).await.expect(202);
    }
    world.until_all_final(SOON).await;
    let list = told(&world.run(&asking(&node, "conversations", &[])).await);
    assert!(
        list.contains("+12016661234 <-> +18045551234") && list.contains("2 of 2"),
        "{list}"
    );
    let thread = told(&world.run(&asking(&node, "conversations", &["1"])).await);
    assert!(
        thread.contains("an escape  [2J and a line") && thread.contains("dispatched"),
        "{thread}"
    );

    let api = node
        .get("/api/conversations?pageSize=1&participant=Shop")
        .await
        .expect(200);
    let arguments = ["--json", "--limit", "1", "--participant", "Shop"];
    assert_eq!(
        printed(&world.run(&asking(&node, "conversations", &arguments)).await),
        api
    );
    let first = told(
        &world
            .run(&asking(&node, "conversations", &["--limit", "1"]))
            .await,
    );
    let (_, cursor) = first.split_once("--cursor ").expect("there is more");
    let rest = ["--cursor", cursor.trim()];
    let rest = told(&world.run(&asking(&node, "conversations", &rest)).await);
    assert!(rest.contains("1 of 2") && !rest.contains("--cursor"), "{rest}");

    // Numbers begin with a +, which means something else in a URL.
    let arguments = ["--json", "--participant", "+1 (201) 666-1234"];
    let found = printed(&world.run(&asking(&node, "conversations", &arguments)).await);
    assert_eq!(found["meta"]["total"], 1);
    let unknown = failed(&world.run(&asking(&node, "conversations", &["99"])).await);
    assert!(unknown.contains("404 not_found"), "{unknown}");
    let wrong = world
        .run(&asking(&node, "conversations", &["1", "--channel", "sms"]))
        .await;
    assert_eq!(wrong.status.code(), Some(2), "{}", told(&wrong));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_open_the_api_and_do_not_show() {
    let world = World::new(Kind::Sqlite).set("API_KEYS", "first-secret-key");
    let node = world.start_node().await;
    let send = asking(&node, "send", &SMS);
    let refused = failed(&world.run(&send).await);
    assert!(
        refused.contains("401 unauthorized") && refused.contains("--api-key"),
        "{refused}"
    );
    let wrong = [&send[..], &["--api-key", "wrong-secret-key"]].concat();
    let refused = failed(&world.run(&wrong).await);
    assert!(!refused.contains("secret"), "{refused}");
    let right = [&send[..], &["--api-key", "first-secret-key"]].concat();
    assert!(world.run(&right).await.status.success());
    let world = world
        .set("TRUNKLINE_API_KEY", "first-secret-key")
        .set("TRUNKLINE_URL", &node.url);
    let listed = printed(&world.run(&["conversations", "--json"]).await);
    assert_eq!(listed["meta"]["total"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_below_a_path_and_one_that_is_none_are_told_apart() {
    let world = World::new(Kind::Sqlite);
    let node = world.start_node().await;
    let url = format!("{}/elsewhere/", node.url);
    let refused = failed(&world.run(&["conversations", "--url", &url]).await);
    assert!(refused.contains("404"), "{refused}");
    for url in ["127.0.0.1:8080", "ftp://127.0.0.1/", "/", ""] {
        let refused = failed(&world.run(&["conversations", "--url", url]).await);
        assert!(refused.contains("--url: use a URL such as"), "{url}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_behind_tls_must_prove_its_name() {
    let world = World::new(Kind::Sqlite);
    let node = world.start_node().await;
    let (port, certificate) = behind_tls(node.authority().to_owned()).await;
    world.write_file("authority.pem", &certificate);
    let url = format!("https://localhost:{port}");
    let refused = failed(&world.run(&["conversations", "--url", &url]).await);
    assert!(refused.contains("certificate"), "{refused}");
    let world = world.set("SSL_CERT_FILE", "authority.pem");
    let listed = printed(&world.run(&["conversations", "--json", "--url", &url]).await);
    assert_eq!(listed["meta"]["total"], 0);
    let other_name = format!("https://127.0.0.1:{port}");
    let refused = failed(&world.run(&["conversations", "--url", &other_name]).await);
    assert!(refused.contains("certificate"), "{refused}");
}

/// Something that speaks TLS in front of a node, and the certificate of its authority.
async fn behind_tls(authority: String) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = made.cert.pem();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut client) = acceptor.accept(socket).await else {
                continue;
            };
            let mut node = TcpStream::connect(&authority).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut node).await });
        }
    });
    (port, certificate)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_pipe_is_no_error() {
    let world = World::new(Kind::Sqlite);
    let node = world.start_node().await;
    let sms = json!({"from": "Shop", "to": "+18045551234", "type": "sms", "body": "Sale"});
    let sent = node.post("/api/messages/sms", &sms).await.expect(202);
    until("it is dispatched", SOON, async || {
        let path = format!("/api/messages/{}", text(&sent["id"]));
        (node.get(&path).await.expect(200)["status"] == "dispatched").then_some(())
    })
    .await;
    for arguments in [
        asking(&node, "conversations", &[]),
        vec!["config"],
        vec!["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = world.run_into(&arguments, Stdio::from(writer)).await;
        assert!(output.status.success(), "{arguments:?}: {}", told(&output));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_on_the_command_line_are_named() {
    let world = World::new(Kind::Sqlite);
    for arguments in [
        &["frobnicate"][..],
        &["send", "--to", "+18045551234"],
        &["send", "--database-url", "sqlite:x"],
        &["conversations", "--limit", "0"],
        &["demo", "--rate", "0"],
        &["import", "a", "b"],
        &["--no-such-flag"],
    ] {
        let output = world.run(arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", told(&output));
        assert!(told(&output).contains("error: "), "{arguments:?}");
    }
}
