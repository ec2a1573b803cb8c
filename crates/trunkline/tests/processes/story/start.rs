use hyper::Method;
use serde_json::json;
use std::process::Output;
use tokio::process::Command;

use crate::world::{Kind, World, on_both_databases};

on_both_databases!(
    migrating_is_a_command_of_its_own,
    the_first_log_line_says_where_the_service_listens_and_where_its_database_is,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bind_beyond_loopback_needs_keys() {
    let world = World::new(Kind::Sqlite).set("API_BIND", "0.0.0.0:0");
    refused(&world.run(&[]).await, &["API_BIND", "API_KEYS"]);
    let world = world.set("API_KEYS", "first-secret-key,second-secret-key");
    world.start_node().await.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_keys_other_requests_are_refused() {
    let world = World::new(Kind::Sqlite).set("API_KEYS", "first-secret-key, second-secret-key");
    let node = world.start_node().await;
    let sms = json!({"from": "+12016661234", "to": "+18045551234", "type": "sms", "body": "Hello"});
    let send = async |headers: &[(&str, &str)]| {
        node.ask(Method::POST, "/api/messages/sms", headers, Some(&sms))
            .await
    };
    for headers in [
        &[][..],
        &[("authorization", "Bearer first-secret-ke")],
        &[("authorization", "Bearer first-secret-key, second-secret-key")],
        &[("authorization", "Basic first-secret-key")],
    ] {
        let answer = send(headers).await;
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        assert_eq!(answer.expect_problem(401), "unauthorized");
    }
    assert_eq!(world.count("messages").await, 0);
    for key in ["first-secret-key", "second-secret-key"] {
        send(&[("authorization", &format!("Bearer {key}"))])
            .await
            .expect(202);
    }
    for (path, status) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 401),
        ("/api/conversations", 401),
    ] {
        assert_eq!(node.get(path).await.status, status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_setting_stops_the_start_and_is_named() {
    for (variable, value) in [
        ("DATABASE_URL", "mysql://localhost/trunkline"),
        ("API_BIND", "localhost"),
        ("API_KEYS", "short"),
        ("API_KEYS", ","),
        ("API_TRUSTED_PROXIES", "10.0.0.0/99"),
        ("API_DEFAULT_REGION", "Atlantis"),
        ("API_MAX_BODY_BYTES", "1"),
        ("API_RATE_LIMIT_PER_IP_PER_MIN", "-1"),
        ("API_PROVIDER_ERROR_PCT", "101"),
        ("API_PROVIDER_EMAIL_ENABLED", "maybe"),
        ("API_WORKER_POLL_MS", "soon"),
        ("API_WORKER_CLAIM_TIMEOUT_SECS", "1"),
        ("API_COMMIT_QUEUE_MAX", "-1"),
        ("API_LOG", "info,=,"),
        ("API_LOG_FORMAT", "xml"),
    ] {
        let world = World::new(Kind::Sqlite).set(variable, value);
        refused(&world.run(&[]).await, &[variable]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_stops_the_start_and_says_where() {
    for (text, named) in [
        ("worker_pol_ms = 5\n", ["trunkline.toml", "worker_pol_ms"]),
        ("drain_secs = \"later\"\n", ["trunkline.toml", "drain_secs"]),
        ("drain_secs = [\n", ["trunkline.toml", "TOML"]),
    ] {
        let world = World::new(Kind::Sqlite);
        world.write_file("trunkline.toml", text);
        refused(&world.run(&[]).await, &named);
    }
    let elsewhere = World::new(Kind::Sqlite);
    refused(
        &elsewhere.run(&["--config", "nowhere.toml"]).await,
        &["nowhere.toml"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_variable_is_ignored_with_a_warning() {
    let world = World::new(Kind::Sqlite).set("API_WORKER_POL_MS", 5);
    let node = world.start_node().await;
    let warning = "unknown environment variable API_WORKER_POL_MS is ignored";
    assert!(node.log().contains(warning), "{}", node.log());
}

async fn the_first_log_line_says_where_the_service_listens_and_where_its_database_is(kind: Kind) {
    let world = World::new(kind).set("API_KEYS", "first-secret-key");
    let node = world.start_node().await;
    let line = node.log_lines("INFO").remove(0);
    assert_eq!(line["address"], node.authority());
    assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
    let (store, host) = match kind {
        Kind::Sqlite => ("SQLite", "trunkline.db"),
        Kind::Postgres => ("PostgreSQL", "127.0.0.1:"),
    };
    assert_eq!(line["store"], store);
    let database = line["database"].as_str().unwrap();
    assert!(
        database.contains(host) && !database.contains(['@', '?']),
        "{database}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_greeting_work() {
    for keys in [None, Some("first-secret-key")] {
        let world = keys.into_iter().fold(World::new(Kind::Sqlite), |world, keys| {
            world.set("API_KEYS", keys)
        });
        let node = world.start_node().await;
        let greeting = node.greeting();
        assert!(!greeting.contains("secret"), "{greeting}");
        let (_, script) = greeting.split_once("read the conversation:").unwrap();
        let mut shell = Command::new("sh");
        shell
            .args(["-ec", script])
            .env("API_KEY", keys.unwrap_or_default());
        let output = shell.output().await.unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(printed.contains("Hi, who is this?"), "{greeting}\n{printed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_belongs_to_one_process() {
    let world = World::new(Kind::Sqlite);
    let node = world.start_node().await;
    refused(&world.run(&[]).await, &["another process", "PostgreSQL"]);
    refused(&world.run(&["migrate"]).await, &["another process"]);
    node.get("/readyz").await.expect(200);
    node.kill().await;
    // The lock ends with the process.
    world.start_node().await.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_named() {
    let world = World::new(Kind::Sqlite);
    let node = world.start_node().await;
    let other = World::new(Kind::Sqlite).set("API_BIND", node.authority());
    refused(&other.run(&[]).await, &["API_BIND", node.authority()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn config_shows_what_applies_and_no_secrets() {
    let world = World::new(Kind::Sqlite)
        .set("DATABASE_URL", "postgres://clerk:open-sesame@localhost/trunkline")
        .set("API_KEYS", "first-secret-key")
        .set("API_DRAIN_SECS", 7);
    world.write_file("trunkline.toml", "drain_secs = 3\nworker_poll_ms = 11\n");
    let output = world.run(&["config", "--worker-batch-size", "13"]).await;
    assert!(output.status.success());
    let shown = String::from_utf8(output.stdout).unwrap();
    for line in [
        "database_url = \"postgres://clerk:***@localhost/trunkline\"  # environment",
        "keys = \"***\"  # environment",
        "drain_secs = \"7\"  # environment",
        "worker_poll_ms = \"11\"  # trunkline.toml",
        "worker_batch_size = \"13\"  # flag",
        "commit_batch_max = \"512\"  # default",
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    assert!(!shown.contains("sesame") && !shown.contains("secret"), "{shown}");
}

async fn migrating_is_a_command_of_its_own(kind: Kind) {
    let world = World::new(kind);
    let first = world.run(&["migrate"]).await;
    assert!(first.status.success(), "{first:?}");
    assert!(
        String::from_utf8_lossy(&first.stdout).starts_with("applied "),
        "{first:?}"
    );
    assert_eq!(world.count("messages").await, 0);
    let second = world.run(&["migrate"]).await;
    assert!(second.status.success(), "{second:?}");
    assert_eq!(
        String::from_utf8_lossy(&second.stdout),
        "The schema is up to date.\n"
    );
}

/// The program failed with a message that names these.
fn refused(output: &Output, named: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "the program started");
    assert!(!message.contains("panicked"), "{message}");
    for name in named {
        assert!(message.contains(name), "{name} is not named in: {message}");
    }
}
