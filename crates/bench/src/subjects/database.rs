use std::{
    fmt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::Context;
use tempfile::TempDir;
use throwaway_postgres::Cluster;
use tokio_postgres::{Client, NoTls};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    Sqlite,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite",
        })
    }
}

/// Creates databases: on a PostgreSQL cluster with default durability, started when first needed, and in a directory for
/// SQLite files. Both are removed at the end.
pub(crate) struct Databases {
    cluster: OnceLock<Cluster>,
    directory: TempDir,
}

#[derive(Debug)]
pub(crate) enum Store {
    Postgres(String),
    Sqlite(PathBuf),
}

impl Databases {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            cluster: OnceLock::new(),
            directory: TempDir::with_prefix("trunkline-bench.")?,
        })
    }

    /// For files of a run.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// An empty database, after earlier ones are flushed.
    pub(crate) async fn create(&self, kind: Kind) -> anyhow::Result<Store> {
        match kind {
            Kind::Postgres => {
                let url = self.cluster().create_database();
                let (client, _) = connect(&url).await?;
                client.batch_execute("checkpoint").await?;
                Ok(Store::Postgres(url))
            }
            Kind::Sqlite => {
                let file = tempfile::Builder::new()
                    .suffix(".db")
                    .tempdir_in(self.directory())?;
                Ok(Store::Sqlite(file.keep().join("trunkline.db")))
            }
        }
    }

    /// Removes a database, so that its upkeep does not disturb the next run.
    pub(crate) async fn remove(&self, store: Store) -> anyhow::Result<()> {
        match store {
            Store::Postgres(url) => {
                let (server, name) = url.rsplit_once('/').context("a URL without a database")?;
                let (client, _) = connect(&format!("{server}/postgres")).await?;
                client
                    .batch_execute(&format!("drop database {name} with (force)"))
                    .await?;
            }
            Store::Sqlite(path) => {
                let directory = path.parent().context("a file without a directory")?;
                std::fs::remove_dir_all(directory)?;
            }
        }
        Ok(())
    }

    /// The parent of PostgreSQL's processes, once they run.
    pub(crate) fn postmaster(&self) -> Option<u32> {
        let file = self.cluster.get()?.directory().join("data/postmaster.pid");
        std::fs::read_to_string(file).ok()?.lines().next()?.parse().ok()
    }

    fn cluster(&self) -> &Cluster {
        self.cluster.get_or_init(Cluster::start)
    }
}

impl Store {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Postgres(_) => Kind::Postgres,
            Self::Sqlite(_) => Kind::Sqlite,
        }
    }

    /// As the program wants it.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Postgres(url) => url.clone(),
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
        }
    }

    /// Runs statements without parameters.
    pub(crate) async fn execute(&self, postgres: &str, sqlite: &str) -> anyhow::Result<()> {
        match self {
            Self::Postgres(url) => {
                let (client, _) = connect(url).await?;
                Ok(client.batch_execute(postgres).await?)
            }
            Self::Sqlite(path) => Ok(rusqlite::Connection::open(path)?.execute_batch(sqlite)?),
        }
    }

    /// The first row of a query that both databases understand; all columns are integers.
    pub(crate) async fn integers<const N: usize>(&self, sql: &str) -> anyhow::Result<[i64; N]> {
        match self {
            Self::Postgres(url) => {
                let (client, _) = connect(url).await?;
                let row = client.query_one(sql, &[]).await?;
                Ok(std::array::from_fn(|column| row.get(column)))
            }
            Self::Sqlite(path) => {
                let connection = rusqlite::Connection::open(path)?;
                let row = connection.query_row(sql, [], |row| {
                    (0..N)
                        .map(|column| row.get(column))
                        .collect::<Result<Vec<i64>, _>>()
                })?;
                row.try_into()
                    .map_err(|_| anyhow::anyhow!("as many columns as were asked for"))
            }
        }
    }
}

/// A connection, and the task that drives it.
pub(crate) async fn connect(url: &str) -> anyhow::Result<(Client, tokio::task::JoinHandle<()>)> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let served = tokio::spawn(async move {
        // The caller gets the error of the statement.
        let _ = connection.await;
    });
    Ok((client, served))
}
