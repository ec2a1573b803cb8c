//! A PostgreSQL cluster for tests and benchmarks: it starts on a free port, and ends with the process that started it.
//!
//! The durability settings are PostgreSQL's defaults (`fsync` and `synchronous_commit` on), since tests and benchmarks are about
//! accepted messages that survive. Without PostgreSQL a call panics and says how to get it. Every call blocks its thread until
//! it is done, and may be made inside an async runtime.
//!
//! Tests that only need a database take one of [`Cluster::shared`]. Tests that stop or freeze the server
//! [start](Cluster::start) their own; the borrow checker protects the shared one. A cluster can have a
//! [standby](Cluster::standby), and a [`Proxy`] makes the network to it slow or lossy.

mod guardian;
mod installation;
mod proxy;

use std::path::Path;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use guardian::{Guardian, PortTaken};
use installation::Installation;
pub use proxy::{Proxy, UnreachablePort};
use tokio_postgres::SimpleQueryMessage;

/// Below the ports that Linux and macOS give to outgoing connections: one of those could take the port of a stopped cluster,
/// which must start again on it.
const PORT_FIRST: u32 = 20_000;
const PORT_COUNT: u32 = 12_000;
const PORT_TRIES_MAX: u32 = 50;
/// How long a standby may take to catch up or to become the primary. Generous, for a busy machine.
const REPLICATION_STEP_MAX: Duration = Duration::from_secs(120);
/// Between two queries for the state of the replication.
const REPLICATION_LOOK: Duration = Duration::from_millis(20);

/// A PostgreSQL server with its own directory and port. Dropping it stops the server and removes the directory. If the process
/// dies before, even by SIGKILL, a guardian process does it.
pub struct Cluster {
    guardian: Guardian,
    port: u16,
    running: bool,
    databases: AtomicU32,
}

/// How to stop a server. PostgreSQL's mode "smart" waits for clients to leave, so it is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Ends the sessions, rolls back open transactions and writes a checkpoint.
    Fast,
    /// Ends all processes at once: the next start recovers from the write-ahead log, as after a crash.
    Immediate,
    /// SIGKILL to all processes at once, as when the machine dies.
    Kill,
}

/// Whether a commit on the primary waits until its standby has it on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// What the primary had not sent is lost with it.
    Asynchronous,
    /// Without the standby no commit ends.
    Synchronous,
}

impl Cluster {
    /// Starts a new cluster, which takes a second or two.
    ///
    /// # Panics
    /// If PostgreSQL is missing or does not start, with a message that says what to do.
    pub fn start() -> Cluster {
        Cluster::start_with("")
    }

    /// The same with additional lines of `postgresql.conf`, such as `fsync = off`.
    pub fn start_with(settings: &str) -> Cluster {
        Cluster::run(Guardian::spawn(&Installation::find(), settings, None), 0)
    }

    /// Makes a standby of this running cluster by streaming replication, and returns when it has caught up. The standby is
    /// read-only until it is [promoted](Cluster::promote). With [`Replication::Synchronous`] every commit waits for it from now
    /// on.
    ///
    /// # Panics
    /// If the standby does not start, or does not catch up in time.
    pub fn standby(&self, replication: Replication) -> Cluster {
        let standby = Cluster::run(self.copy(), self.databases.load(Ordering::Relaxed));
        self.follow(replication);
        standby
    }

    /// The same, on the port of a cluster that is gone, so that a URL with both ports still names both servers.
    ///
    /// # Panics
    /// As [`Cluster::standby`], and if another program has taken the port.
    pub fn standby_in_place_of(&self, gone: Cluster, replication: Replication) -> Cluster {
        let port = gone.port;
        drop(gone);
        let mut guardian = self.copy();
        assert!(
            guardian.start(port).is_ok(),
            "another program has taken port {port} while no server had it: run the test again"
        );
        let databases = AtomicU32::new(self.databases.load(Ordering::Relaxed));
        let standby = Cluster {
            guardian,
            port,
            running: true,
            databases,
        };
        self.follow(replication);
        standby
    }

    fn copy(&self) -> Guardian {
        Guardian::spawn(&Installation::find(), "", Some(self.port))
    }

    /// Starts the server of a guardian on the first free port.
    fn run(mut guardian: Guardian, databases: u32) -> Cluster {
        for _ in 0..PORT_TRIES_MAX {
            let port = next_port();
            // PostgreSQL itself tries the port: an earlier check could be out of date when it binds.
            if guardian.start(port).is_ok() {
                return Cluster {
                    guardian,
                    port,
                    running: true,
                    databases: AtomicU32::new(databases),
                };
            }
        }
        panic!(
            "{PORT_TRIES_MAX} ports from {PORT_FIRST} upwards are all taken: what else runs on this machine?"
        );
    }

    /// Waits until the standby streams and has everything.
    fn follow(&self, replication: Replication) {
        let state = match replication {
            Replication::Asynchronous => "async",
            Replication::Synchronous => {
                self.set("synchronous_standby_names", "*");
                "sync"
            }
        };
        let written = self.ask("SELECT pg_current_wal_lsn()");
        let caught_up = format!(
            "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = '{state}' \
             AND replay_lsn >= '{written}'"
        );
        self.until(&caught_up, "1", "have a standby that has caught up");
    }

    /// Makes this standby the primary, and returns when it takes writes. Stop or pause the old primary first and never resume it:
    /// two primaries would diverge.
    ///
    /// # Panics
    /// If it is not a standby, or does not become the primary in time.
    pub fn promote(&mut self) {
        // Without waiting: PostgreSQL checks only every 100 ms whether it is done.
        self.ask("SELECT pg_promote(false)");
        self.until("SELECT pg_is_in_recovery()", "f", "become the primary");
    }

    /// Changes a setting of the running server, for all its sessions (`ALTER SYSTEM`, then reload).
    ///
    /// # Panics
    /// If PostgreSQL does not know the setting or refuses the value.
    pub fn set(&self, name: &str, value: &str) {
        self.ask(&format!("ALTER SYSTEM SET {name} = '{value}'"));
        self.ask("SELECT pg_reload_conf()");
        // A new session has the setting once the reload has reached the process that starts sessions.
        self.until(&format!("SHOW {name}"), value, &format!("set {name}"));
    }

    /// The cluster that all tests of this process share; the first call starts it.
    pub fn shared() -> &'static Cluster {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Cluster::start)
    }

    /// Creates an empty database and returns its URL, `postgres://postgres@127.0.0.1:PORT/NAME`.
    pub fn create_database(&self) -> String {
        let name = format!("throwaway_{}", self.databases.fetch_add(1, Ordering::Relaxed) + 1);
        // template0 takes no connections, which would make this fail.
        let statement = format!("CREATE DATABASE {name} TEMPLATE template0");
        self.ask(&statement);
        self.url(&name)
    }

    /// The URL of a database on several of these clusters; a client uses the one that takes writes:
    /// `postgres://postgres@127.0.0.1:A,127.0.0.1:B/NAME?target_session_attrs=read-write`.
    pub fn failover_url(clusters: [&Cluster; 2], database: &str) -> String {
        let [first, second] = clusters.map(Cluster::port);
        format!(
            "postgres://postgres@127.0.0.1:{first},127.0.0.1:{second}/{database}?target_session_attrs=read-write"
        )
    }

    /// The URL of a database of this cluster, by its name.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs a statement in the administrative database; returns the first value of the answer.
    fn ask(&self, statement: &str) -> String {
        let administration = self.url("postgres");
        match ask(&administration, statement) {
            Ok(answer) => answer.unwrap_or_default(),
            Err(error) => panic!("{administration} does not {statement}: {error:?} (stopped or paused?)"),
        }
    }

    /// Asks until this is the answer.
    fn until(&self, question: &str, wanted: &str, step: &str) {
        let mut looks = REPLICATION_STEP_MAX.as_millis() / REPLICATION_LOOK.as_millis();
        loop {
            let answer = self.ask(question);
            if answer == wanted {
                return;
            }
            assert!(
                looks > 0,
                "port {} did not {step} within {REPLICATION_STEP_MAX:?}: `{question}` is {answer:?}",
                self.port
            );
            looks -= 1;
            pause_between_looks();
        }
    }

    /// The TCP port on 127.0.0.1; a restart keeps it.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of this cluster, which is removed with it.
    pub fn directory(&self) -> &Path {
        self.guardian.directory()
    }

    /// Stops the server and returns when its last process is gone; the data stays. Does nothing if it is stopped.
    pub fn stop(&mut self, mode: StopMode) {
        let signal = match mode {
            StopMode::Fast => "INT",
            StopMode::Immediate => "QUIT",
            StopMode::Kill => "KILL",
        };
        self.guardian.carry_out(&format!("stop {signal}"));
        self.running = false;
    }

    /// Starts the stopped server on the same data and port.
    ///
    /// # Panics
    /// If it was not stopped, or if another program has taken the port meanwhile.
    pub fn start_again(&mut self) {
        assert!(
            !self.running,
            "the server is running: `stop` it before `start_again`"
        );
        if let Err(PortTaken) = self.guardian.start(self.port) {
            panic!(
                "another program has taken port {} while the server was stopped: run the test again",
                self.port
            );
        }
        self.running = true;
    }

    /// Freezes all processes of the server. Clients see no error, only silence: the kernel still accepts new connections.
    pub fn pause(&mut self) {
        assert!(self.running, "the server is stopped: there is nothing to pause");
        self.guardian.carry_out("pause");
    }

    /// Lets a paused server continue.
    pub fn resume(&mut self) {
        assert!(
            self.running,
            "the server is stopped: `start_again` instead of `resume`"
        );
        self.guardian.carry_out("resume");
    }
}

/// Spreads processes over the range, so that they rarely try the same port.
fn next_port() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let offset = process::id()
        .wrapping_mul(37)
        .wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed))
        % PORT_COUNT;
    u16::try_from(PORT_FIRST + offset).expect("the range ends below 65536")
}

/// The first value of the answer to a statement.
fn ask(url: &str, statement: &str) -> Result<Option<String>, tokio_postgres::Error> {
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime
            .expect("building a runtime on one thread")
            .block_on(async {
                let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
                tokio::spawn(connection);
                let messages = client.simple_query(statement).await?;
                Ok(messages.iter().find_map(|message| match message {
                    SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                    _ => None,
                }))
            })
    };
    // The caller may be inside a runtime, which must not block on another one.
    thread::scope(|scope| scope.spawn(ask).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[allow(
    clippy::disallowed_methods,
    reason = "another process is waited for, which cannot wake this one"
)]
fn pause_between_looks() {
    thread::sleep(REPLICATION_LOOK);
}
