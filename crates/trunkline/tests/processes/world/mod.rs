//! The tests' environment: nodes, their database, the providers' ledger, clients, load, and the final audit.

mod addresses;
mod audit;
mod client;
mod contents;
mod follow;
mod ledger;
mod load;
mod log;
mod memory;
mod node;
mod offer;
mod receiver;
mod roles;
mod targets;
mod wait;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tempfile::TempDir;
use throwaway_postgres::Cluster;

use self::{audit::Audit, ledger::Call};

pub(crate) use addresses::own_addresses;
pub(crate) use audit::{Findings, Rule, Summary};
pub(crate) use client::{Answer, Client, text};
pub(crate) use contents::{Contents, Conversation, Id, connect, execute};
pub(crate) use follow::{Event, EventStream, page};
pub(crate) use load::{Load, Pace, Report};
pub(crate) use log::Log;
pub(crate) use node::{Node, Running};
pub(crate) use offer::Offer;
pub(crate) use receiver::{Receiver, Reply, WebhookCall};
pub(crate) use roles::backends_by_role;
pub(crate) use targets::Targets;
pub(crate) use wait::{SOON, Stopwatch, until};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

#[derive(Debug)]
pub(crate) enum Database {
    Sqlite(PathBuf),
    Postgres(String),
}

/// A database, a ledger and settings that nodes share.
pub(crate) struct World {
    directory: TempDir,
    database: Database,
    settings: Vec<(String, String)>,
    nodes: AtomicU32,
    /// Whether each node has its own PostgreSQL role.
    roles: bool,
}

/// Runs each test on SQLite and on PostgreSQL.
macro_rules! on_both_databases {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::world::Kind::Sqlite).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::world::Kind::Postgres).await;
            })+
        }
    };
}
pub(crate) use on_both_databases;

impl World {
    /// An empty database. All tests share one PostgreSQL server.
    pub(crate) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => {
                let directory = TempDir::new().unwrap();
                let database = Database::Sqlite(directory.path().join("trunkline.db"));
                Self::with(directory, database)
            }
            Kind::Postgres => Self::on(tokio::task::block_in_place(|| {
                Cluster::shared().create_database()
            })),
        }
    }

    /// On this PostgreSQL database.
    pub(crate) fn on(url: String) -> Self {
        Self::with(TempDir::new().unwrap(), Database::Postgres(url))
    }

    fn with(directory: TempDir, database: Database) -> Self {
        let url = match &database {
            Database::Sqlite(path) => format!("sqlite:{}", path.display()),
            Database::Postgres(url) => url.clone(),
        };
        let ledger = directory.path().join("ledger.jsonl").display().to_string();
        let world = Self {
            directory,
            database,
            settings: Vec::new(),
            nodes: AtomicU32::new(0),
            roles: false,
        };
        // All clients share an address and a few senders: the default limits would refuse them.
        world
            .set("DATABASE_URL", url)
            .set("API_BIND", "127.0.0.1:0")
            // No load balancer needs time to notice a stop.
            .set("API_LAME_DUCK_SECS", "0")
            .set("API_PROVIDER_LEDGER", ledger)
            .set("API_RATE_LIMIT_PER_IP_PER_MIN", "10000000")
            .set("API_RATE_LIMIT_PER_SENDER_PER_MIN", "10000000")
            .set("API_RATE_LIMIT_WEBHOOK_PER_IP_PER_MIN", "10000000")
    }

    /// Sets an environment variable of the nodes started from now on.
    pub(crate) fn set(mut self, variable: &str, value: impl ToString) -> Self {
        self.settings.retain(|(name, _)| name != variable);
        self.settings.push((variable.to_owned(), value.to_string()));
        self
    }

    /// The test reads the database at another URL from now on. The nodes keep theirs.
    pub(crate) fn moved_to(&mut self, url: String) {
        self.database = Database::Postgres(url);
    }

    /// Nodes started from now on have their own PostgreSQL roles, so that their connections can be told apart.
    pub(crate) async fn with_a_role_for_each_node(self) -> Self {
        let Database::Postgres(url) = &self.database else {
            panic!("only for PostgreSQL")
        };
        roles::create(url).await;
        Self { roles: true, ..self }
    }

    pub(crate) async fn start_node(&self) -> Node {
        self.start_node_with(&[]).await
    }

    pub(crate) async fn start_node_with(&self, settings: &[(&str, &str)]) -> Node {
        let number = self.next_node();
        let mut variables = self.settings.clone();
        for (name, value) in settings {
            variables.retain(|(known, _)| known != name);
            variables.push(((*name).to_owned(), (*value).to_owned()));
        }
        if self.roles {
            for (_, url) in variables.iter_mut().filter(|(name, _)| name == "DATABASE_URL") {
                *url = roles::of_node(url, number);
            }
        }
        Node::start(self.directory.path(), &variables, &format!("node-{number}")).await
    }

    /// Starts a node at this address.
    pub(crate) async fn start_node_at(&self, address: SocketAddr) -> Node {
        self.start_node_with(&[("API_BIND", &address.to_string())]).await
    }

    /// Starts a node whose database may be away.
    pub(crate) async fn start_unready_node(&self) -> Node {
        let name = format!("node-{}", self.next_node());
        Node::start_unready(self.directory.path(), &self.settings, &name).await
    }

    /// Starts `serve --test` with these settings only.
    pub(crate) async fn start_test_server(&self, settings: &[(&str, &str)]) -> Node {
        let name = format!("node-{}", self.next_node());
        let owned = settings.iter();
        let variables: Vec<_> = owned
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Node::start_test_server(self.directory.path(), &variables, &name).await
    }

    fn next_node(&self) -> u32 {
        self.nodes.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A node that survives a limit on the size of its files.
    pub(crate) async fn start_node_that_survives_full_files(&self) -> Node {
        Node::start_surviving_full_files(self.directory.path(), &self.settings, "full").await
    }

    /// The size of the largest file there is.
    pub(crate) fn largest_file_bytes(&self) -> u64 {
        let files = std::fs::read_dir(self.directory.path()).unwrap();
        let sizes = files.map(|file| file.unwrap().metadata().unwrap().len());
        sizes.max().unwrap()
    }

    /// Runs the program with these arguments to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        node::run(node::program(self.directory.path(), &self.settings, arguments)).await
    }

    /// Starts the program with these arguments. It does not outlive its test.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(node::program(self.directory.path(), &self.settings, arguments))
    }

    /// The conversations. Their counts and times must agree with their messages.
    pub(crate) async fn conversations(&self) -> Vec<Conversation> {
        let contents = Contents::read(&self.database).await;
        let mut found = Findings::default();
        Audit {
            offers: &[],
            contents: &contents,
            calls: &[],
        }
        .conversations_are_exact(&mut found);
        assert!(found.is_empty(), "{found}");
        contents.conversations
    }

    /// The same, with its standard output redirected to `output`.
    pub(crate) async fn run_into(&self, arguments: &[&str], output: Stdio) -> Output {
        let mut command = node::program(self.directory.path(), &self.settings, arguments);
        command.stdout(output).stderr(Stdio::piped());
        let process = command.spawn().unwrap().wait_with_output();
        let output = tokio::time::timeout(SOON, process).await;
        output.expect("the program ends by itself").unwrap()
    }

    /// Changes the SQLite file by hand, while no process has it.
    pub(crate) fn change(&self, statement: &str) {
        let Database::Sqlite(path) = &self.database else {
            panic!("only for SQLite")
        };
        rusqlite::Connection::open(path)
            .unwrap()
            .execute(statement, [])
            .unwrap();
    }

    /// The id of the one message that has no conversation, without dashes.
    pub(crate) async fn id_of_unthreaded(&self) -> String {
        let statement = "select lower(hex(id)) from messages where conversation_id is null";
        let [[id]] = contents::rows(&self.database, statement)
            .await
            .try_into()
            .unwrap();
        id
    }

    /// Puts a file into the directory the program runs in.
    pub(crate) fn write_file(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    pub(crate) async fn contents(&self) -> Contents {
        Contents::read(&self.database).await
    }

    /// How many rows a condition holds for, such as `outbox where dead_at is null`.
    pub(crate) async fn count(&self, rows_where: &str) -> usize {
        let rows = contents::rows(&self.database, &format!("select count(*) from {rows_where}")).await;
        let [[count]] = rows.try_into().unwrap();
        let count: String = count;
        count.parse().unwrap()
    }

    /// What time it is, in the words of PostgreSQL.
    pub(crate) async fn time(&self) -> String {
        let [[now]] = contents::rows(&self.database, "select clock_timestamp()")
            .await
            .try_into()
            .unwrap();
        now
    }

    /// When the last of the leases that are held now runs out, in the words of PostgreSQL.
    pub(crate) async fn last_lease(&self) -> String {
        let statement = "select coalesce(max(leased_until), clock_timestamp()) from outbox";
        let [[last]] = contents::rows(&self.database, statement)
            .await
            .try_into()
            .unwrap();
        last
    }

    pub(crate) fn ledger(&self) -> Vec<Call> {
        ledger::read(&self.directory.path().join("ledger.jsonl"))
    }

    /// Waits until every accepted message has its final status.
    pub(crate) async fn until_all_final(&self, bound: Duration) {
        until("all messages are final", bound, async || {
            (self.count("outbox where dead_at is null").await == 0).then_some(())
        })
        .await;
    }

    /// Compares these offers with what is stored and what the providers saw. No node may be sending.
    pub(crate) async fn audit(&self, offers: &[Offer]) -> Summary {
        let (summary, found) = self.audit_with(offers, |audit| audit.check()).await;
        assert!(found.is_empty(), "{summary}\n{found}");
        summary
    }

    /// The same, once every message has its final status, which it waits for.
    pub(crate) async fn audit_final(&self, offers: &[Offer]) -> Summary {
        self.until_all_final(SOON).await;
        let (summary, found) = self.find_wrong(offers).await;
        assert!(found.is_empty(), "{summary}\n{found}");
        summary
    }

    /// The same without waiting, and with the findings returned instead of failing the test.
    pub(crate) async fn find_wrong(&self, offers: &[Offer]) -> (Summary, Findings) {
        self.audit_with(offers, |audit| audit.check_final()).await
    }

    async fn audit_with<T>(&self, offers: &[Offer], check: impl Fn(&Audit<'_>) -> T) -> T {
        let (contents, calls) = (Contents::read(&self.database).await, self.ledger());
        check(&Audit {
            offers,
            contents: &contents,
            calls: &calls,
        })
    }
}
