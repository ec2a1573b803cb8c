use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, Command};
use domain::{Clock, Entropy, SystemClock};
use engine::{Engine, Metrics};
use providers::{
    Routes,
    scripted::Scripted,
    simulator::{Simulators, receipt_channel},
};
use server::{App, Server, WebhookBodies};
use store::{Postgres, Store, StoreError};
use tokio::net::TcpListener;

use crate::{
    config::{Config, flags},
    logging,
    signals::{Signals, StopSignal},
    simulated_receipts,
    terminal::print,
    threads::Threads,
    webhook_caller::HttpCaller,
};

/// Pause before the next attempt to reach a database that is away.
const STORE_RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Attempts between two log lines about waiting.
const STORE_RETRIES_PER_LINE: u32 = 60;
/// Time to record the results of calls, even if requests have used up the drain time.
const RECORD_TIME: Duration = Duration::from_secs(2);

pub(crate) const TEST_FLAG: &str = "test";

pub(crate) fn command() -> Command {
    let test = Arg::new(TEST_FLAG)
        .long(TEST_FLAG)
        .action(ArgAction::SetTrue)
        .help("Run a server for tests: messages in memory, a free port of 127.0.0.1, no rate limits; prints its URL as JSON");
    Command::new("serve")
        .about("Run the service (the default without a command)")
        .arg(test)
        .args(flags::all())
        .after_help(
            "Examples:\n  trunkline serve                                start on the SQLite file trunkline.db\n  \
             trunkline serve --database-url postgres://localhost/trunkline --bind 127.0.0.1:9000\n  \
             API_PROVIDER_ERROR_PCT=30 trunkline serve      start with providers that fail\n  \
             trunkline serve --test                         start for a test run (docs/testing.md)",
        )
}

/// Runs the service until a signal.
pub(crate) fn run(config: &Config) -> anyhow::Result<()> {
    logging::start(&config.log, config.log_format)?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(Threads::of_requests())
        .enable_all()
        .build()?
        .block_on(serve(config))
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let entropy = Entropy::from_system();
    let store = store::open(&config.database_url, Arc::clone(&clock))?;
    let listener = TcpListener::bind(config.bind).await.with_context(|| {
        format!(
            "cannot listen on {}: is another server running there? Choose another with API_BIND",
            config.bind
        )
    })?;
    let address = listener.local_addr()?;
    let database = Database::of(&config.database_url);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        %address,
        store = database.kind,
        database = database.place,
        "listening: until the database is ready, only /healthz is answered"
    );
    let server = Server::start(listener, config.connections.clone(), &entropy);
    tokio::select! {
        biased;
        _ = signals.next() => return Ok(()),
        migrated = migrate(store.as_ref()) => migrated?,
    }
    let (receipts, due_receipts) = receipt_channel(&clock);
    let simulators = Simulators::new(config.simulators.clone(), &entropy, Arc::clone(&clock), &receipts)?;
    let simulated = simulators.providers();
    let simulators = (!simulated.is_empty()).then(|| Arc::new(simulators));
    let mut routes = Routes::new(simulated)?.with(config.routes.clone())?;
    if config.sandboxes && simulators.is_some() {
        let region = config.engine.dispatch.default_region;
        let ledger = config.simulators.ledger.as_deref();
        routes = routes.with_scripted(Arc::new(Scripted::new(region, ledger, Arc::clone(&clock))?));
    }
    let metrics = Arc::new(Metrics::new());
    let engine = Engine::start(
        config.engine.clone(),
        store,
        routes,
        Arc::clone(&clock),
        &entropy,
        metrics,
        Arc::new(Threads),
    );
    let caller = HttpCaller::new(config.webhook_networks.clone(), Arc::clone(&clock));
    engine.deliver_webhooks(Arc::new(caller), Arc::new(WebhookBodies::new(&config.server)));
    tokio::spawn(simulated_receipts::forward(due_receipts, Arc::clone(&engine)));
    let app = App::new(
        Arc::clone(&engine),
        simulators,
        config.server.clone(),
        &entropy,
        server.draining(),
    );
    server.ready(app);
    let announcement = if config.is_test {
        format!("{{\"url\": \"{}\"}}\n", local_url(address))
    } else {
        greeting(config, &database, address)
    };
    // An error means that standard output is closed. The service runs on.
    let _ = print(&announcement);
    let stop = tokio::select! {
        biased;
        stop = signals.next() => stop,
        () = engine.failed() => bail!("a critical task panicked: start the service again"),
    };
    tracing::info!("shutting down: requests and calls under way are finished; a second signal exits at once");
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(1);
    });
    let lame_duck = match stop {
        StopSignal::Terminate => config.lame_duck,
        StopSignal::Interrupt => Duration::ZERO,
    };
    let began = clock.monotonic();
    let served = tokio::select! {
        biased;
        served = server.stop(lame_duck, config.drain) => served,
        () = engine.failed() => bail!("a critical task panicked: start the service again"),
    };
    if let Err(error) = served {
        tracing::warn!(%error, "the drain time is over: unfinished requests are cut off");
    }
    // Calls under way get the time that requests left, and at least RECORD_TIME.
    let spent = clock.monotonic().saturating_sub(began + lame_duck);
    tokio::select! {
        biased;
        () = engine.failed() => bail!("a critical task panicked while results of calls were recorded"),
        () = engine.drain(config.drain.saturating_sub(spent).max(RECORD_TIME)) => {}
    }
    engine.store().close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Migrates once the database answers: a node may start before its database.
async fn migrate(store: &dyn Store) -> anyhow::Result<()> {
    for round in 0_u32.. {
        match store.migrate().await {
            Ok(applied) => {
                applied
                    .iter()
                    .for_each(|migration| tracing::info!(migration, "a migration was applied"));
                return Ok(());
            }
            Err(error @ StoreError::Refused(_)) => return Err(error).context("cannot migrate the database"),
            Err(error) => {
                if round % STORE_RETRIES_PER_LINE == 0 {
                    tracing::warn!(%error, "waiting for the database");
                }
                tokio::time::sleep(STORE_RETRY_PAUSE).await;
            }
        }
    }
    bail!("the database did not answer")
}

/// Where messages are kept, without the user, password and parameters of the URL.
struct Database {
    kind: &'static str,
    /// The file, or the hosts with their ports.
    place: String,
}

impl Database {
    fn of(url: &str) -> Self {
        match url.trim().strip_prefix("sqlite:") {
            Some(file) => Self {
                kind: "SQLite",
                place: file.trim_start_matches("//").to_owned(),
            },
            None => Self {
                kind: "PostgreSQL",
                place: Postgres::hosts(url.trim()).unwrap_or_default().join(","),
            },
        }
    }
}

/// Where programs on this machine reach the service: all addresses include loopback.
fn local_url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

/// Where the service listens, and what to try first.
fn greeting(config: &Config, database: &Database, address: SocketAddr) -> String {
    let Database { kind, place } = database;
    let url = format!("http://{address}");
    let key = if config.server.api_keys.is_none() {
        ""
    } else {
        " -H \"Authorization: Bearer $API_KEY\""
    };
    let json = format!("{key} -H 'content-type: application/json'");
    format!(
        "Trunkline is listening on {url} and keeps its messages in {kind} ({place}). Ctrl-C stops it.\n\n\
         Send a text, let its recipient answer, and read the conversation:\n\n  \
         curl {url}/api/messages/sms{json} \\\n    \
         -d '{{\"from\": \"+12016661234\", \"to\": \"+18045551234\", \"type\": \"sms\", \"body\": \"Hello!\"}}'\n\n  \
         curl {url}/api/provider/mock/inbound{json} \\\n    \
         -d '{{\"channel\": \"sms\", \"from\": \"+18045551234\", \"to\": \"+12016661234\", \"body\": \"Hi, who is this?\"}}'\n\n  \
         curl {url}/api/conversations/1/messages{key}\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_server_on_all_addresses_names_loopback() {
        for (address, url) in [
            ("127.0.0.1:81", "http://127.0.0.1:81"),
            ("0.0.0.0:81", "http://127.0.0.1:81"),
            ("[::]:81", "http://[::1]:81"),
            ("10.0.0.7:81", "http://10.0.0.7:81"),
        ] {
            assert_eq!(local_url(address.parse().unwrap()), url);
        }
    }

    #[test]
    fn the_database_is_named_without_the_white_space_around_its_url() {
        for (url, kind, place) in [
            ("sqlite:trunkline.db\r\n", "SQLite", "trunkline.db"),
            (" sqlite://trunkline.db", "SQLite", "trunkline.db"),
            ("sqlite::memory: ", "SQLite", ":memory:"),
            ("\npostgres://u:p@h/d\n", "PostgreSQL", "h:5432"),
        ] {
            let database = Database::of(url);
            assert_eq!((database.kind, database.place.as_str()), (kind, place), "{url:?}");
        }
    }
}
