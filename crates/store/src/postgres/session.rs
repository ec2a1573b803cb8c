//! One connection to a server, with its settings.

use std::{collections::HashMap, time::Duration};

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Row, SimpleQueryMessage, SimpleQueryRow, Statement, types::ToSql};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{failure::QueryFailure, hosts::in_full};

/// How long the server lets a statement run before it rolls back. Its error means that nothing was stored; a timeout in
/// this process does not.
const SERVER_STATEMENT_TIMEOUT_MS: u32 = 1_200;
/// How long closing a connection waits until the server knows.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    /// Drives the connection, and ends with it.
    driver: JoinHandle<()>,
    statements: HashMap<&'static str, Statement>,
    pub(super) facts: Facts,
    /// The generation of the hosts when it was opened.
    pub(super) generation: u64,
    /// On the monotonic clock.
    pub(super) expires_at: Duration,
}

/// The server's settings that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) writable: bool,
    pub(super) standby: bool,
    pub(super) encoding: String,
    pub(super) fsync: bool,
    pub(super) full_page_writes: bool,
    /// The server's setting; sessions of the store never run with `off`.
    pub(super) synchronous_commit: String,
}

impl Session {
    /// Connects, makes the settings and reads the facts, in one round trip after the handshake. It uses `SET` because
    /// poolers refuse `options` at the start.
    pub(super) async fn open(
        config: &Config,
        tls: MakeRustlsConnect,
        settings: &str,
    ) -> Result<Self, String> {
        let (client, connection) = config.connect(tls).await.map_err(|error| in_full(&error))?;
        // The next statement reports how the connection ended.
        let driver = tokio::spawn(async move { drop(connection.await) });
        let sql = format!(
            "select current_setting('synchronous_commit') as synchronous_commit;
             select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off';
             set statement_timeout = {SERVER_STATEMENT_TIMEOUT_MS};
             {settings};
             select current_setting('transaction_read_only') as read_only, pg_is_in_recovery() as standby,
                 current_setting('server_encoding') as encoding, current_setting('fsync') as fsync,
                 current_setting('full_page_writes') as full_page_writes,
                 current_setting('statement_timeout')::interval
                     = {SERVER_STATEMENT_TIMEOUT_MS} * interval '1 millisecond' as limited"
        );
        let answer = client.simple_query(&sql).await.map_err(|error| in_full(&error))?;
        let facts = Facts::read(&answer).ok_or_else(|| {
            "it does not keep the settings that SET makes: connect to the server itself, or through a pooler that \
             pools by session"
                .to_owned()
        })?;
        Ok(Self {
            client,
            driver,
            statements: HashMap::new(),
            facts,
            generation: 0,
            expires_at: Duration::ZERO,
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Runs a statement, which is prepared once for each connection. `sent` becomes true when the server may have begun it.
    pub(super) async fn query(
        &mut self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
        sent: &mut bool,
    ) -> Result<Vec<Row>, QueryFailure> {
        let statement = match self.statements.get(sql) {
            Some(statement) => statement,
            None => {
                let statement = self.client.prepare(sql).await?;
                self.statements.entry(sql).or_insert(statement)
            }
        };
        *sent = true;
        Ok(self.client.query(statement, params).await?)
    }

    /// The server process of this connection. Behind a pooler it can differ between transactions.
    pub(super) async fn backend(&self) -> Result<String, QueryFailure> {
        let answer = self.client.simple_query("select pg_backend_pid()").await?;
        let backend = rows(&answer).next().and_then(|row| row.get(0));
        backend
            .map(str::to_owned)
            .ok_or_else(|| QueryFailure::Refused("the server names no process for the connection".to_owned()))
    }

    pub(super) async fn begin(&self) -> Result<(), QueryFailure> {
        Ok(self.client.batch_execute("begin").await?)
    }

    pub(super) async fn roll_back(&self) -> Result<(), QueryFailure> {
        Ok(self.client.batch_execute("rollback").await?)
    }

    /// Waits until the previous statement has ended.
    pub(super) async fn idle(&self) -> Result<(), QueryFailure> {
        Ok(self.client.batch_execute("").await?)
    }

    /// Asks the server to end the running statement.
    pub(super) async fn cancel(&self, tls: MakeRustlsConnect) {
        // If that fails, the server's own limit ends the statement.
        let _ = self.client.cancel_token().cancel_query(tls).await;
    }

    /// Closes the connection, and waits until the server knows.
    pub(super) async fn close(self) {
        drop((self.statements, self.client));
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.driver).await;
    }
}

impl Facts {
    /// `None` if the settings did not take effect.
    fn read(answer: &[SimpleQueryMessage]) -> Option<Self> {
        let (before, now) = (rows(answer).next()?, rows(answer).last()?);
        let on = |name: &str| now.try_get(name).ok().flatten() == Some("on");
        let text = |row: &SimpleQueryRow, name: &str| Some(row.try_get(name).ok()??.to_owned());
        if text(now, "limited")? != "t" {
            return None;
        }
        Some(Self {
            writable: !on("read_only"),
            standby: text(now, "standby")? == "t",
            encoding: text(now, "encoding")?,
            fsync: on("fsync"),
            full_page_writes: on("full_page_writes"),
            synchronous_commit: text(before, "synchronous_commit")?,
        })
    }
}

fn rows(answer: &[SimpleQueryMessage]) -> impl Iterator<Item = &SimpleQueryRow> {
    answer.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })
}
