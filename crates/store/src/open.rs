use std::{path::Path, sync::Arc};

use domain::Clock;
use thiserror::Error;

use crate::{Postgres, Sqlite, Store};

/// A database that cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The URL names no database we know.
    #[error("DATABASE_URL must start with sqlite: or postgres://, such as sqlite:trunkline.db")]
    UnknownDatabase,
    /// The SQLite file cannot be had.
    #[error("cannot open the SQLite file: {0}")]
    Sqlite(String),
    /// The URL is no connection string of PostgreSQL, or asks for what cannot be had.
    #[error("DATABASE_URL cannot be used: {0}")]
    Postgres(String),
}

/// Opens the store that a URL names: `sqlite:FILE` or `postgres://…`.
///
/// # Errors
/// When the URL names none, or the file cannot be had. A PostgreSQL server is not contacted yet.
pub fn open(url: &str, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, OpenError> {
    if let Some(path) = url.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
        let path = path.strip_prefix("//").unwrap_or(path);
        return Ok(Arc::new(
            Sqlite::open(Path::new(path), clock).map_err(OpenError::Sqlite)?,
        ));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Arc::new(Postgres::open(url, clock).map_err(OpenError::Postgres)?));
    }
    Err(OpenError::UnknownDatabase)
}
