use std::{path::Path, sync::Arc};

use domain::Clock;
use thiserror::Error;

use crate::{Postgres, Sqlite, Store};

/// Why `DATABASE_URL` opens no database. The texts quote nothing of the URL that may be a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    #[error("DATABASE_URL {0}")]
    Url(&'static str),
    #[error("cannot open the SQLite file: {0}")]
    Sqlite(String),
    #[error("DATABASE_URL cannot be used: {0}")]
    Postgres(String),
}

/// Opens the store that a URL names: `sqlite:FILE`, `sqlite::memory:` or `postgres://…`. White space around it is ignored: files
/// and shells add it. A PostgreSQL server is not contacted yet.
pub fn open(url: &str, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, OpenError> {
    let url = url.trim();
    if url.contains(char::is_control) {
        return Err(OpenError::Url(
            "has a line break or another control character in it: write it on one line",
        ));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Arc::new(Postgres::open(url, clock).map_err(OpenError::Postgres)?));
    }
    let Some(path) = url.strip_prefix("sqlite:") else {
        return Err(OpenError::Url(what_to_write(url)));
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    let opened = match path {
        ":memory:" => Sqlite::in_memory(clock),
        "" => {
            return Err(OpenError::Url(
                "names no file: write a path after sqlite:, such as sqlite:trunkline.db",
            ));
        }
        _ if path.contains('?') => {
            return Err(OpenError::Url(
                "has a ? in it, but sqlite: takes no parameters: write only the path, such as sqlite:trunkline.db",
            ));
        }
        // SQLite gives these a meaning of their own.
        _ if path.starts_with("file:") || path.starts_with(':') => {
            return Err(OpenError::Url(
                "must name a path after sqlite:, such as sqlite:trunkline.db, or be sqlite::memory:",
            ));
        }
        _ => Sqlite::open(Path::new(path), clock),
    };
    Ok(Arc::new(opened.map_err(OpenError::Sqlite)?))
}

/// What is wrong with a URL of another scheme, and what to write instead.
fn what_to_write(url: &str) -> &'static str {
    let lower = url.to_lowercase();
    let scheme = lower.split_once(':').map_or("", |(scheme, _)| scheme);
    if url.starts_with(['"', '\'', '`']) {
        "begins with a quotation mark: write it without quotes"
    } else if scheme.contains("postg")
        || scheme.contains("psql")
        || lower.starts_with("jdbc:")
        || scheme == "pg"
    {
        "must start with postgres://, as in postgres://USER:PASSWORD@HOST/DATABASE"
    } else if scheme.contains("sqlite") || scheme == "file" || lower.ends_with(".db") || lower == ":memory:" {
        "must start with sqlite:, as in sqlite:trunkline.db"
    } else {
        "must start with sqlite: or postgres://, such as sqlite:trunkline.db"
    }
}
