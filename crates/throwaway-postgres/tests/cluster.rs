//! A test gets its own database, real durability, and a server that can crash, freeze and return.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use throwaway_postgres::{Cluster, Replication, StopMode};
use tokio_postgres::SimpleQueryMessage;

const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How long silence must last to count as frozen. A slow machine makes this easier to pass, not harder.
const SILENCE: Duration = Duration::from_millis(300);

#[test]
fn databases_of_the_shared_cluster_are_apart_even_when_created_at_once() {
    let urls: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| Cluster::shared().create_database()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for url in &urls {
        assert!(url.starts_with("postgres://postgres@127.0.0.1:"), "{url}");
        query(
            url,
            "CREATE TABLE message (body text); INSERT INTO message VALUES ('grüß')",
        );
        assert_eq!(
            query(url, "SELECT count(*), min(length(body)) FROM message"),
            ["1 4"]
        );
    }
}

#[test]
fn durability_is_postgresqls_default() {
    let url = Cluster::shared().create_database();
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        assert_eq!(query(&url, &format!("SHOW {setting}")), ["on"], "{setting}");
    }
    let changed =
        "SELECT name FROM pg_settings WHERE source = 'command line' AND category LIKE 'Write-Ahead Log%'";
    assert_eq!(query(&url, changed), Vec::<String>::new());
    assert_eq!(query(&url, "SHOW max_connections"), ["200"]);
}

#[tokio::test]
async fn a_database_can_be_created_inside_a_runtime() {
    let url = Cluster::shared().create_database();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    assert!(!client.is_closed());
}

#[test]
fn committed_rows_survive_every_kind_of_stop() {
    let mut cluster = Cluster::start();
    let url = cluster.create_database();
    query(&url, "CREATE TABLE message (id int)");
    for (round, mode) in [
        StopMode::Immediate,
        StopMode::Fast,
        StopMode::Kill,
        StopMode::Immediate,
    ]
    .into_iter()
    .enumerate()
    {
        query(&url, "INSERT INTO message VALUES (1)");
        cluster.stop(mode);
        cluster.stop(mode);
        assert!(
            std::net::TcpStream::connect(("127.0.0.1", cluster.port())).is_err(),
            "{mode:?}"
        );
        cluster.start_again();
        assert_eq!(
            query(&url, "SELECT count(*) FROM message"),
            [format!("{}", round + 1)],
            "{mode:?}"
        );
    }
}

#[test]
fn a_paused_server_is_silent_until_it_is_resumed() {
    let mut cluster = Cluster::start();
    let url = cluster.create_database();
    let (asks, questions) = channel::<()>();
    let (answers, answered) = channel();
    // The session is open before the pause: its own process must freeze too, not only the one that takes connections.
    thread::spawn(move || {
        block_on(async {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
                .await
                .unwrap();
            tokio::spawn(connection);
            for () in questions {
                answers
                    .send(client.batch_execute("SELECT 1").await.is_ok())
                    .unwrap();
            }
        });
    });
    asks.send(()).unwrap();
    assert_eq!(answered.recv_timeout(ANSWER_MAX), Ok(true));

    cluster.pause();
    asks.send(()).unwrap();
    assert_eq!(answered.recv_timeout(SILENCE), Err(RecvTimeoutError::Timeout));
    cluster.resume();
    assert_eq!(answered.recv_timeout(ANSWER_MAX), Ok(true));
}

#[test]
fn a_cluster_has_the_settings_it_was_given_and_takes_others_while_it_runs() {
    let cluster = Cluster::start_with("fsync = off\nwork_mem = '5MB'");
    let url = cluster.create_database();
    assert_eq!(query(&url, "SHOW fsync"), ["off"]);
    assert_eq!(query(&url, "SHOW work_mem"), ["5MB"]);
    cluster.set("work_mem", "6MB");
    assert_eq!(query(&url, "SHOW work_mem"), ["6MB"]);
}

#[test]
fn a_synchronous_standby_has_every_commit_and_takes_over() {
    let mut primary = Cluster::start();
    let url = primary.create_database();
    let name = &*url.rsplit_once('/').unwrap().1.to_owned();
    query(
        &url,
        "CREATE TABLE message (id int); INSERT INTO message VALUES (1)",
    );
    let mut standby = primary.standby(Replication::Synchronous);
    query(&url, "INSERT INTO message VALUES (2)");
    let copy = standby.url(name);
    assert_eq!(query(&copy, "SHOW transaction_read_only"), ["on"]);

    // A commit waits for it.
    standby.pause();
    let (answers, answered) = channel();
    thread::spawn(move || answers.send(query(&url, "INSERT INTO message VALUES (3)")));
    assert_eq!(answered.recv_timeout(SILENCE), Err(RecvTimeoutError::Timeout));
    standby.resume();
    assert_eq!(answered.recv_timeout(ANSWER_MAX), Ok(vec![]));

    primary.stop(StopMode::Kill);
    standby.promote();
    let all = "SELECT count(*) FROM message";
    query(&copy, "INSERT INTO message VALUES (4)");
    assert_eq!(query(&copy, all), ["4"]);

    // And so on, in turns: the new one takes the port of the dead one, then is killed.
    let port = primary.port();
    let mut next = standby.standby_in_place_of(primary, Replication::Synchronous);
    assert_eq!(next.port(), port);
    query(&copy, "INSERT INTO message VALUES (5)");
    standby.stop(StopMode::Kill);
    next.promote();
    assert_eq!(query(&next.url(name), all), ["5"]);
    assert!(next.create_database().ends_with("_2"), "its own names go on");
    assert_eq!(
        Cluster::failover_url([&next, &standby], name),
        format!(
            "postgres://postgres@127.0.0.1:{port},127.0.0.1:{}/{name}?target_session_attrs=read-write",
            standby.port()
        )
    );
}

#[test]
fn without_a_standby_that_must_have_it_a_commit_ends_at_once() {
    let primary = Cluster::start();
    let url = primary.create_database();
    query(&url, "CREATE TABLE message (id int)");
    let mut standby = primary.standby(Replication::Asynchronous);
    standby.pause();
    query(&url, "INSERT INTO message VALUES (1)");
}

#[test]
fn a_cluster_takes_its_directory_along_even_when_dropped_while_paused() {
    let mut cluster = Cluster::start();
    let directory = cluster.directory().to_owned();
    assert!(directory.exists());
    cluster.pause();
    drop(cluster);
    assert!(!directory.exists());
}

fn query(url: &str, sql: &str) -> Vec<String> {
    block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
            .await
            .expect("connecting");
        tokio::spawn(connection);
        let messages = client.simple_query(sql).await.expect(sql);
        messages.iter().filter_map(row).collect()
    })
}

fn row(message: &SimpleQueryMessage) -> Option<String> {
    let SimpleQueryMessage::Row(row) = message else {
        return None;
    };
    let columns: Vec<&str> = (0..row.len())
        .map(|column| row.get(column).unwrap_or("NULL"))
        .collect();
    Some(columns.join(" "))
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("building a runtime on one thread").block_on(work)
}
