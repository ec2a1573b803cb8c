//! Which store a URL names. No server is contacted.

use std::sync::Arc;

use domain::SystemClock;
use tempfile::TempDir;
use trunkline_store::{MessageFilter, OpenError, open};

use crate::{builders::Draft, driven_clock::DrivenClock, walks::all_messages};

fn error_of(url: &str) -> OpenError {
    let opened = open(url, Arc::new(DrivenClock::new()));
    opened.map(drop).expect_err(&format!("{url:?} must not open"))
}

#[tokio::test]
async fn a_url_names_a_file_or_a_server() {
    let directory = TempDir::new().unwrap();
    for (before, file, after) in [
        ("sqlite:", "one.db", ""),
        ("sqlite://", "other.db", ""),
        (" sqlite:", "with space.db", " "),
        ("sqlite:", "from-a-secret-file.db", "\n"),
        ("\tsqlite:", "from-windows.db", "\t\r\n"),
    ] {
        let path = directory.path().join(file);
        let url = format!("{before}{}{after}", path.display());
        let store = open(&url, Arc::new(DrivenClock::new())).unwrap();
        store.migrate().await.unwrap();
        assert!(path.exists(), "{url:?}");
    }
    for url in [
        "postgres://localhost:1/trunkline",
        "postgresql://localhost:1/trunkline",
        " postgres://localhost:1/trunkline\r\n",
        "postgres://u:p@h/d?sslmode=require&connect_timeout=3&application_name=x&keepalives_idle=9",
    ] {
        let opened = open(url, Arc::new(DrivenClock::new()));
        assert!(opened.is_ok(), "{url:?}: {opened:?}");
    }
}

#[tokio::test]
async fn each_store_in_memory_is_private_and_leaves_no_file() {
    let stores = ["sqlite::memory:", "sqlite://:memory:", "sqlite::memory:\n"]
        .map(|url| open(url, Arc::new(SystemClock::new())).unwrap());
    for store in &stores {
        store.migrate().await.unwrap();
    }
    let clock = DrivenClock::new();
    let now = domain::Clock::now(&clock);
    let id = domain::MessageId::mint(now, &domain::Entropy::from_seed(1));
    stores[0]
        .accept(&[Draft::outbound(id, now).accept()])
        .await
        .unwrap();
    assert_eq!(all_messages(&*stores[0]).await.len(), 1);
    assert_eq!(all_messages(&*stores[1]).await.len(), 0);
    stores[0].probe().await.unwrap();
    stores[0].close().await;
    let page = domain::PageRequest::new(1, domain::Start::Page(1));
    assert!(
        stores[0]
            .messages(&MessageFilter::default(), &page)
            .await
            .is_err()
    );
    assert!(!std::path::Path::new(":memory:").exists());
}

#[test]
fn a_url_that_cannot_be_used_says_what_to_write() {
    let (sqlite, postgres) = ("sqlite:trunkline.db", "postgres://USER:PASSWORD@HOST/DATABASE");
    for (url, hint) in [
        ("", sqlite),
        ("sqlite:", "path after sqlite:"),
        ("sqlite://", "path after sqlite:"),
        ("trunkline.db", sqlite),
        ("/var/lib/trunkline.db", sqlite),
        (":memory:", sqlite),
        ("sqlite3:trunkline.db", sqlite),
        ("SQLITE:trunkline.db", sqlite),
        ("file:trunkline.db", sqlite),
        ("sqlite:file:trunkline.db", sqlite),
        ("sqlite::memory", "sqlite::memory:"),
        ("sqlite:trunkline.db?mode=rwc", "takes no parameters"),
        ("sqlite::memory:?cache=shared", "takes no parameters"),
        ("sqlite:trunk\nline.db", "line break"),
        (
            "postgres://u:open-sesame@h/d\npostgres://u:open-sesame@h/d",
            "line break",
        ),
        ("\"sqlite:trunkline.db\"", "without quotes"),
        ("'postgres://u:open-sesame@h/d'", "without quotes"),
        ("mysql://u:open-sesame@localhost/trunkline", sqlite),
        ("postgre://u:open-sesame@h/d", postgres),
        ("postgress://u:open-sesame@h/d", postgres),
        ("Postgres://u:open-sesame@h/d", postgres),
        ("postgres:u:open-sesame@h/d", postgres),
        ("postgresql+asyncpg://u:open-sesame@h/d", postgres),
        ("jdbc:postgresql://h/d", postgres),
        ("pg://u:open-sesame@h/d", postgres),
        ("postgres://h:none/d", postgres),
        (
            "postgres://u:open-sesame@h/d?pgbouncer=true",
            "unknown parameter pgbouncer",
        ),
        (
            "postgres://u:open-sesame@h/d?schema=public&sslmode=require",
            "unknown parameter schema",
        ),
        ("postgres://u:open-sesame@h/d?ssl_mode=require", "sslmode"),
        ("postgres://u:open-sesame@h/d?sslkey=client.key", "sslmode"),
        (
            "postgres://u:open-sesame@h/d?connect_timeout=soon",
            "value of connect_timeout",
        ),
        // This may be the rest of a password, so it is not quoted.
        ("postgres://u:open@?sesame=1@h/d", "encode special characters"),
        ("postgres://u:open@sesame@h/d", "encode special characters"),
        ("postgres://u:open@sesame@h,h2/d", "encode special characters"),
        ("postgres://u:open-sesame@h/d?SESAME!=1", "parameter"),
    ] {
        let error = error_of(url).to_string();
        assert!(error.contains(hint), "{url:?}: {error}");
        assert!(!error.to_lowercase().contains("sesame"), "{url:?}: {error}");
    }
    assert!(matches!(
        error_of("sqlite:/nowhere/at/all.db"),
        OpenError::Sqlite(_)
    ));
}
