//! A PostgreSQL cluster for tests and benchmarks: started on a free port, gone when the process that started it is.
//!
//! The durability settings are PostgreSQL's defaults (`fsync` and `synchronous_commit` on), because what we test and
//! measure is that an accepted message survives. Nothing here skips: without PostgreSQL a call panics and says how
//! to get it. Every call blocks its thread until the thing has happened; all of them may be made inside an async
//! runtime.
//!
//! Tests that only need a database take one of [`Cluster::shared`]; tests that stop or freeze the server
//! [start](Cluster::start) their own, and the borrow checker keeps them from doing it to the shared one.

mod guardian;
mod installation;

use std::path::Path;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use guardian::{Guardian, PortTaken};
use installation::Installation;

/// Below the ranges from which Linux and macOS number outgoing connections: one of those could take the port of a
/// stopped cluster, which must come back on it.
const PORT_FIRST: u32 = 20_000;
const PORT_COUNT: u32 = 12_000;
const PORT_TRIES_MAX: u32 = 50;

/// A PostgreSQL server with its own directory and port. Dropping it stops the server and removes the directory; if
/// the process dies before it can, even by SIGKILL, a guardian process does it.
pub struct Cluster {
    guardian: Guardian,
    port: u16,
    running: bool,
    databases: AtomicU32,
}

/// How to stop a server. PostgreSQL's third mode, smart, waits for clients to leave and so has no use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Ends the sessions, rolls back what is open and writes a checkpoint: an orderly restart.
    Fast,
    /// Ends all processes on the spot: the next start recovers from the write-ahead log, as after a crash.
    Immediate,
}

impl Cluster {
    /// Starts a new cluster, which takes a second or two.
    ///
    /// # Panics
    /// If PostgreSQL is missing or does not start, with a message that says what to do.
    pub fn start() -> Cluster {
        let mut guardian = Guardian::spawn(&Installation::find());
        for _ in 0..PORT_TRIES_MAX {
            let port = next_port();
            // PostgreSQL itself tries the port: a check of ours would be out of date by the time it binds.
            if guardian.start(port).is_ok() {
                return Cluster {
                    guardian,
                    port,
                    running: true,
                    databases: AtomicU32::new(0),
                };
            }
        }
        panic!(
            "{PORT_TRIES_MAX} ports from {PORT_FIRST} upwards are all taken: what else runs on this machine?"
        );
    }

    /// The one cluster that all tests of this process share, started by the first who asks.
    pub fn shared() -> &'static Cluster {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Cluster::start)
    }

    /// Creates an empty database and returns its URL, `postgres://postgres@127.0.0.1:PORT/NAME`.
    pub fn create_database(&self) -> String {
        let name = format!("throwaway_{}", self.databases.fetch_add(1, Ordering::Relaxed) + 1);
        // Nobody connects to template0, so nobody's connection can make this fail.
        let statement = format!("CREATE DATABASE {name} TEMPLATE template0");
        let administration = self.url("postgres");
        // The caller may be inside a runtime, which must not block on another one.
        let created = thread::scope(|scope| scope.spawn(|| execute(&administration, &statement)).join());
        match created {
            Ok(Ok(())) => self.url(&name),
            Ok(Err(error)) => {
                panic!("cannot create {name} at {administration}: {error:?} (stopped or paused?)")
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// The TCP port on 127.0.0.1, which stays the same over a stop and a new start.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory that holds everything of this cluster and vanishes with it.
    pub fn directory(&self) -> &Path {
        self.guardian.directory()
    }

    /// Stops the server and returns when its last process is gone; the data stays. Does nothing if it is stopped.
    pub fn stop(&mut self, mode: StopMode) {
        let signal = match mode {
            StopMode::Fast => "INT",
            StopMode::Immediate => "QUIT",
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

    /// Freezes all processes of the server. Clients see no error, only silence: even new connections open (the
    /// kernel accepts them) and then hear nothing.
    pub fn pause(&mut self) {
        assert!(self.running, "the server is stopped: there is nothing to pause");
        self.guardian.carry_out("pause");
    }

    /// Lets a paused server go on where it was.
    pub fn resume(&mut self) {
        assert!(
            self.running,
            "the server is stopped: `start_again` instead of `resume`"
        );
        self.guardian.carry_out("resume");
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

/// Spreads processes over the range, so that those started one after another rarely try the same port.
fn next_port() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let offset = process::id()
        .wrapping_mul(37)
        .wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed))
        % PORT_COUNT;
    u16::try_from(PORT_FIRST + offset).expect("the range ends below 65536")
}

fn execute(url: &str, statement: &str) -> Result<(), tokio_postgres::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .expect("building a runtime on one thread")
        .block_on(async {
            let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
            tokio::spawn(connection);
            client.batch_execute(statement).await
        })
}
