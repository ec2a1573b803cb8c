//! TLS between the store and PostgreSQL: a real server with certificates made here.

use std::sync::OnceLock;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use throwaway_postgres::{Cluster, StopMode};
use tokio_postgres::NoTls;
use trunkline_store::{Store, StoreError};

use crate::world::{connect, open_postgres};

/// A server that speaks TLS as `localhost`, and the roots that its clients may trust.
struct Encrypting {
    cluster: Cluster,
    files: TempDir,
}

impl Encrypting {
    /// One for all tests: starting a server takes seconds.
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Encrypting> = OnceLock::new();
        SHARED.get_or_init(|| std::thread::scope(|scope| scope.spawn(Self::start).join().unwrap()))
    }

    fn start() -> Self {
        let (root, other) = (root("right"), root("wrong"));
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = server.signed_by(&key, &root).unwrap();
        let files = TempDir::new().unwrap();
        for (name, root) in [("right", root), ("wrong", other)] {
            std::fs::write(files.path().join(name), root.pem()).unwrap();
        }
        let mut cluster = Cluster::start();
        let url = cluster.create_database();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
            tokio::spawn(connection);
            // The server writes the files itself, because they must belong to its user, and the key to that user alone.
            for (file, pem) in [
                ("server.crt", certificate.pem()),
                ("server.key", key.serialize_pem()),
            ] {
                let copy = format!(
                    "copy (select string_to_table('{}', e'\\n')) to program 'umask 077; cat > {file}'",
                    pem.trim_end()
                );
                client.batch_execute(&copy).await.unwrap();
            }
            client.batch_execute("alter system set ssl = on").await.unwrap();
        });
        cluster.stop(StopMode::Fast);
        cluster.start_again();
        Self { cluster, files }
    }

    fn root(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    /// A new database, by the name that the certificate has.
    fn url(&self) -> String {
        self.cluster.create_database().replace("127.0.0.1", "localhost")
    }
}

fn root(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// Whether a store at this URL is connected in cipher, as the server sees it.
async fn encrypts(url: &str, query: &str) -> Result<bool, StoreError> {
    let store = open_postgres(&format!("{url}?{query}")).unwrap();
    store.migrate().await?;
    let name = url.rsplit('/').next().unwrap();
    let row = connect(url)
        .await
        .query_one(
            "select every(ssl) from pg_stat_ssl join pg_stat_activity using (pid)
             where datname = $1 and application_name = 'trunkline'",
            &[&name],
        )
        .await
        .unwrap();
    Ok(row.get(0))
}

fn why(answer: Result<bool, StoreError>) -> String {
    match answer {
        Err(StoreError::Unavailable(refused)) => refused.reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_mode_encrypts_and_verifies_what_it_says() {
    let server = Encrypting::shared();
    let by_name = server.url();
    let by_number = by_name.replace("localhost", "127.0.0.1");
    let not_trusted = Err("not issued by a trusted authority: name");
    for (url, query, expected) in [
        (&by_name, "", Ok(true)),
        (&by_name, "sslmode=disable", Ok(false)),
        (&by_name, "sslmode=prefer", Ok(true)),
        (&by_name, "sslmode=require", Ok(true)),
        (&by_number, "sslmode=require", Ok(true)),
        (&by_name, "sslmode=require&sslrootcert=RIGHT", Ok(true)),
        (&by_name, "sslmode=require&sslrootcert=WRONG", not_trusted),
        (&by_name, "sslmode=verify-ca&sslrootcert=RIGHT", Ok(true)),
        (&by_number, "sslmode=verify-ca&sslrootcert=RIGHT", Ok(true)),
        (&by_name, "sslmode=verify-ca&sslrootcert=WRONG", not_trusted),
        (&by_name, "sslmode=verify-full&sslrootcert=RIGHT", Ok(true)),
        (
            &by_number,
            "sslmode=verify-full&sslrootcert=RIGHT",
            Err("for another host name: connect to"),
        ),
        (&by_name, "sslmode=verify-full&sslrootcert=WRONG", not_trusted),
        // No authority that machines trust knows this server.
        (&by_name, "sslmode=verify-full", not_trusted),
        // A wrong certificate is no reason for plain text.
        (&by_name, "sslmode=prefer&sslrootcert=WRONG", not_trusted),
    ] {
        let query = query
            .replace("RIGHT", &server.root("right"))
            .replace("WRONG", &server.root("wrong"));
        let found = encrypts(url, &query).await;
        match expected {
            Ok(encrypted) => assert_eq!(found, Ok(encrypted), "{url} {query}"),
            Err(reason) => {
                let found = why(found);
                assert!(found.contains(reason), "{url} {query}: {found}");
            }
        }
    }
}

/// The server may be between two configurations. So the database counts as away, with the reason, instead of as a wrong setting:
/// a node that waits needs no restart.
#[tokio::test]
async fn a_server_without_tls_is_away_for_those_who_require_it() {
    let url = Cluster::shared().create_database();
    assert_eq!(encrypts(&url, "sslmode=prefer").await, Ok(false));
    assert_eq!(encrypts(&url, "sslmode=disable").await, Ok(false));
    let reason = why(encrypts(&url, "sslmode=require").await);
    assert!(reason.contains("server does not support TLS"), "{reason}");
}

#[test]
fn a_url_that_cannot_be_read_is_not_quoted() {
    for url in [
        "postgres://u:open-sesame@[",
        "postgres://u:p@ss?sesame@h/d",
        "postgres://u:p@ss?sesame=1@h/d",
        "postgres://u:open-sesame@h/d?sslmode=sesame",
    ] {
        let told = open_postgres(url).unwrap_err();
        assert!(!told.contains("sesame"), "{url}: {told}");
    }
}
