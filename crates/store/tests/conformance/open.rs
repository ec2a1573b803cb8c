//! Which store a URL names, before anybody is asked for anything.

use std::sync::Arc;

use tempfile::TempDir;
use trunkline_store::{OpenError, open};

use crate::driven_clock::DrivenClock;

#[tokio::test]
async fn a_url_names_a_file_or_a_server() {
    let directory = TempDir::new().unwrap();
    for (url, file) in [("sqlite:", "one.db"), ("sqlite://", "other.db")] {
        let path = directory.path().join(file);
        let url = format!("{url}{}", path.display());
        let store = open(&url, Arc::new(DrivenClock::new())).unwrap();
        store.migrate().await.unwrap();
        assert!(path.exists(), "{url}");
    }
    // A server that is not there yet keeps nobody from starting.
    for url in [
        "postgres://localhost:1/trunkline",
        "postgresql://localhost:1/trunkline",
    ] {
        assert!(open(url, Arc::new(DrivenClock::new())).is_ok(), "{url}");
    }
}

#[test]
fn a_url_that_names_nothing_is_refused_with_what_to_write_instead() {
    for url in ["", "sqlite:", "trunkline.db", "mysql://localhost/trunkline"] {
        let error = open(url, Arc::new(DrivenClock::new())).unwrap_err();
        assert_eq!(error, OpenError::UnknownDatabase, "{url}");
        assert!(error.to_string().contains("sqlite:trunkline.db"));
    }
    let nowhere = open("sqlite:/nowhere/at/all.db", Arc::new(DrivenClock::new()));
    assert!(matches!(nowhere, Err(OpenError::Sqlite(_))));
    let port = open(
        "postgres://localhost:none/trunkline",
        Arc::new(DrivenClock::new()),
    );
    assert!(matches!(port, Err(OpenError::Postgres(_))));
}
