//! The probe succeeds exactly when a send would be stored.

use std::time::Duration;

use domain::{Clock, Entropy, MessageId, SystemClock};
use throwaway_postgres::Cluster;
use trunkline_store::{Accept, Accepted, Accepting, Outage, Postgres, Store, StoreError};

use crate::{
    builders::Draft,
    world::{connect, open_postgres},
};

/// What an answer may take. The promise is two seconds; a busy machine may add some.
const ANSWER_MAX: Duration = Duration::from_secs(5);

fn draft(body: &str) -> Accept {
    let now = SystemClock::new().now();
    let draft = Draft::outbound(MessageId::mint(now, &Entropy::from_system()), now);
    draft.body(body).accept()
}

async fn accept(store: &Postgres, body: &str) -> Result<(), StoreError> {
    let accepted = store.accept(&[draft(body)]).await?;
    assert!(matches!(accepted[..], [Accepted::New { .. }]), "{accepted:?}");
    Ok(())
}

async fn probe(store: &Postgres) -> Result<(), StoreError> {
    let probed = tokio::time::timeout(ANSWER_MAX, store.probe()).await;
    probed.expect("a probe answers in time")
}

/// A commit that waits for a standby is not durable yet, and a probe waits like one.
#[tokio::test]
async fn fails_while_commits_wait_for_a_standby() {
    let cluster = Cluster::start();
    let store = open_postgres(&cluster.create_database()).unwrap();
    store.migrate().await.unwrap();
    assert_eq!(probe(&store).await, Ok(()));
    let observer = connect(&cluster.url("postgres")).await;
    cluster.set("synchronous_standby_names", "away");
    for _ in 0..5 {
        let (first, second) = tokio::join!(probe(&store), probe(&store));
        assert!(matches!(first, Err(StoreError::Unavailable(_))), "{first:?}");
        assert!(matches!(second, Err(StoreError::Unavailable(_))), "{second:?}");
    }
    let ours = "select count(*) from pg_stat_activity where application_name = 'trunkline'";
    let ours: i64 = observer.query_one(ours, &[]).await.unwrap().get(0);
    assert!(ours <= 20, "{ours} backends");
    cluster.set("synchronous_standby_names", "");
    assert_eq!(probe(&store).await, Ok(()));
}

/// Connections that are open go on working when the server takes no new ones, but the one for sends may not be open.
#[tokio::test]
async fn fails_without_a_free_connection_for_sends() {
    let cluster = Cluster::shared();
    let url = cluster.create_database();
    let (_, name) = url.rsplit_once('/').unwrap();
    let administration = connect(&cluster.url("postgres")).await;
    let role = format!("app_{name}");
    let limit = async |connections: i32| {
        let sql = format!("alter role {role} connection limit {connections}");
        administration.batch_execute(&sql).await.unwrap();
    };
    let create = format!("create role {role} login; alter database {name} owner to {role}");
    administration.batch_execute(&create).await.unwrap();
    // As operators do it: the role owns the database and has no other right.
    let store = open_postgres(&url.replace("postgres@", &format!("{role}@"))).unwrap();
    store.migrate().await.unwrap();
    assert_eq!(probe(&store).await, Ok(()));

    limit(1).await;
    let refused = accept(&store, "hello").await;
    assert!(
        matches!(&refused, Err(StoreError::Unavailable(refused)) if refused.reason.contains("too many connections")),
        "{refused:?}"
    );
    for _ in 0..3 {
        assert!(matches!(probe(&store).await, Err(StoreError::Unavailable(_))));
    }
    limit(-1).await;
    assert_eq!(probe(&store).await, Ok(()));
    assert_eq!(accept(&store, "hello").await, Ok(()));
}

/// Not every insert needs a new page, so a probe that writes little would say yes on a full disk. Needs root, or `sudo`, to make
/// a file system with little room.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn fails_on_a_full_disk() {
    /// More than fit.
    const MESSAGES_MAX: usize = 5_000;
    let cluster = Cluster::start();
    let disk = small_disk::SmallDisk::mount(&cluster);
    let administration = connect(&cluster.url("postgres")).await;
    let tablespace = format!("create tablespace small location '{}'", disk.path().display());
    administration.batch_execute(&tablespace).await.unwrap();
    let create = "create database small tablespace small template template0";
    administration.batch_execute(create).await.unwrap();
    let url = cluster.url("small");
    let store = open_postgres(&url).unwrap();
    store.migrate().await.unwrap();
    let database = connect(&url).await;
    let filler = "create table filler as select md5(random()::text) from generate_series(1, 30000)";
    database.batch_execute(filler).await.unwrap();
    assert_eq!(probe(&store).await, Ok(()));

    let entropy = Entropy::from_system();
    let mut stored = 0;
    let full = loop {
        // Too random to be compressed.
        let body: String = (0..600).map(|_| entropy.next_u64().to_string()).collect();
        match accept(&store, &body).await {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < MESSAGES_MAX, "the disk is not small");
    };
    println!("{stored} messages filled the disk");
    let is_full =
        |error: &StoreError| matches!(error, StoreError::Unavailable(why) if why.outage == Outage::Full);
    assert!(is_full(&full), "{full:?}");
    for _ in 0..3 {
        let probed = probe(&store).await;
        assert!(probed.as_ref().is_err_and(is_full), "{probed:?}");
    }
    database.batch_execute("drop table filler").await.unwrap();
    assert_eq!(probe(&store).await, Ok(()));
    assert_eq!(accept(&store, "hello").await, Ok(()));
}

#[cfg(target_os = "linux")]
mod small_disk {
    use std::{os::unix::fs::MetadataExt, path::Path, process::Command};

    use tempfile::TempDir;
    use throwaway_postgres::Cluster;

    /// What a new database, its schema and a few messages need.
    const MEGABYTES: u32 = 16;

    /// A file system in memory that belongs to the user who runs a cluster.
    pub(super) struct SmallDisk(TempDir);

    impl SmallDisk {
        pub(super) fn mount(cluster: &Cluster) -> Self {
            let disk = Self(TempDir::new().unwrap());
            let owner = std::fs::metadata(cluster.directory()).unwrap();
            let options = format!(
                "size={MEGABYTES}m,mode=700,uid={},gid={}",
                owner.uid(),
                owner.gid()
            );
            as_root(
                Command::new("mount")
                    .args(["-t", "tmpfs", "-o", &options, "small"])
                    .arg(disk.path()),
            );
            disk
        }

        pub(super) fn path(&self) -> &Path {
            self.0.path()
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            // Lazily: the server may still have files open on it.
            as_root(Command::new("umount").arg("-l").arg(self.path()));
        }
    }

    fn as_root(command: &Command) {
        let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
        let mut run = if is_root {
            Command::new(command.get_program())
        } else {
            let mut sudo = Command::new("sudo");
            sudo.arg("-n").arg(command.get_program());
            sudo
        };
        let status = run.args(command.get_args()).status();
        let done = status.is_ok_and(|status| status.success());
        assert!(
            done,
            "this test must mount a file system: run it as root, or with sudo: {command:?}"
        );
    }
}
