//! Connects to the host of `DATABASE_URL` that takes writes.
//!
//! The client library tries addresses one after the other, each for the whole timeout, and only until TCP is connected.
//! Here the next address is tried after [`STAGGER`] as well, and a connection counts only when the server has answered a
//! statement and takes writes. So a frozen host costs a fraction of a second.

use std::{
    collections::VecDeque,
    error::Error,
    fmt,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::Clock;
use parking_lot::{Mutex, MutexGuard};
use tokio::{task::JoinSet, time::sleep};
use tokio_postgres::{
    Config,
    config::{Host, TargetSessionAttrs},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    connections::{Access, STATEMENT_TIMEOUT},
    session::Session,
    tls::{TlsParameters, explain},
};
use crate::{Outage, Unavailable};

/// How long connecting may take, for all hosts together, unless the URL sets it.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// The most that `connect_timeout` in the URL can set: a send is answered within 2 s.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_millis(1_500);
/// How long an address is tried before the next one is tried as well: long enough for a handshake with TLS in one region. A
/// slower server costs the next one a connection that is closed again.
const STAGGER: Duration = Duration::from_millis(250);
/// How long a connection is used. It bounds the time after which a changed address, another server behind a pooler, or
/// memory gathered by a backend is noticed.
const AGE_MAX: Duration = Duration::from_secs(30 * 60);
/// The spread of the ages, so that connections that were opened together do not end together.
const AGE_SPREAD: Duration = Duration::from_secs(10 * 60);
/// The difference in age between two consecutive connections: a prime number of seconds, so that few are equal.
const AGE_STEP: Duration = Duration::from_secs(97);
/// How long a connection to a read-only server is used for reads before a writable one is looked for.
const READ_ONLY_AGE_MAX: Duration = Duration::from_secs(1);

/// What to check in a URL that cannot be read. The parser's reason is left out: where a password is not encoded, it can contain
/// a part of it.
pub(super) const FORM: &str =
    "it is not of the form postgres://USER:PASSWORD@HOST/DATABASE; encode special characters (@ is %40)";

pub(super) struct Hosts {
    /// The URL without its hosts.
    config: Config,
    hosts: Vec<NamedHost>,
    tls: MakeRustlsConnect,
    connect_timeout: Duration,
    clock: Arc<dyn Clock>,
    /// The latest address of a server that took writes. It is tried first.
    last_good: Mutex<Option<Address>>,
    /// Grows when an answer shows that the server changed. Connections of an older generation are not used again.
    generation: AtomicU64,
    opened: AtomicU64,
}

struct NamedHost {
    /// The name that the certificate must have; `None` for a socket file, or for an IP address given by `hostaddr` alone.
    name: Option<String>,
    /// A host name, an IP address or the directory of a socket file.
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    name: Option<String>,
    /// An IP address or the directory of a socket file.
    host: Host,
    port: u16,
}

/// The result of a task of [`Hosts::connect`].
enum Step {
    Resolved(Result<Vec<Address>, String>),
    Connected(Address, Result<Box<Session>, String>),
}

impl Hosts {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is no URL of PostgreSQL, or needs what is not supported. The text quotes only names of hosts and parameters.
    pub(super) fn of_url(url: &str, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let parameters = TlsParameters::take(url)?;
        let tls = parameters.connector()?;
        let given: Config = parameters.url.parse().map_err(|_| FORM)?;
        if given.get_target_session_attrs() == TargetSessionAttrs::ReadOnly {
            return Err("target_session_attrs must be read-write or any: messages are stored".to_owned());
        }
        let mut config = without_hosts(&given);
        config
            .ssl_mode(parameters.ssl_mode())
            .tcp_user_timeout(STATEMENT_TIMEOUT)
            .application_name("trunkline");
        let timeout = given.get_connect_timeout().copied();
        Ok(Self {
            config,
            hosts: hosts(&given)?,
            tls,
            connect_timeout: timeout.unwrap_or(CONNECT_TIMEOUT).min(CONNECT_TIMEOUT_MAX),
            clock,
            last_good: Mutex::new(None),
            generation: AtomicU64::new(0),
            opened: AtomicU64::new(0),
        })
    }

    pub(super) fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }

    /// Whether a connection is young enough to be used again.
    pub(super) fn trusts(&self, session: &Session) -> bool {
        session.generation == self.generation.load(Ordering::SeqCst)
            && self.clock.monotonic() < session.expires_at
    }

    /// Retires this connection and all that are as old, because its answer shows that the server changed.
    pub(super) fn distrust(&self, session: &Session) {
        self.generation
            .fetch_max(session.generation + 1, Ordering::SeqCst);
    }

    /// Connects to a server that takes writes. For reads, a read-only server is used if there is no other in time.
    ///
    /// # Errors
    /// When there is none. The text says for each host what happened.
    pub(super) async fn connect(
        self: &Arc<Self>,
        settings: &str,
        access: Access,
    ) -> Result<Session, Unavailable> {
        let generation = self.generation.load(Ordering::SeqCst);
        let mut steps = JoinSet::new();
        let mut addresses = VecDeque::new();
        for host in &self.hosts {
            match host.address() {
                Some(address) => self.enqueue(&mut addresses, address),
                None => drop(steps.spawn(resolve(host.name.clone().unwrap_or_default(), host.port))),
            }
        }
        let (mut waiting, mut reasons) = (Vec::new(), Vec::new());
        let mut read_only: Option<Box<Session>> = None;
        let mut deadline = pin!(sleep(self.connect_timeout));
        let mut next_try = pin!(sleep(Duration::ZERO));
        while !(steps.is_empty() && addresses.is_empty()) {
            tokio::select! {
                biased;
                () = &mut deadline => break,
                Some(step) = steps.join_next(), if !steps.is_empty() => match step {
                    Ok(Step::Resolved(Ok(found))) => {
                        found.into_iter().for_each(|address| self.enqueue(&mut addresses, address));
                    }
                    Ok(Step::Resolved(Err(reason))) => reasons.push(reason),
                    Ok(Step::Connected(address, tried)) => {
                        waiting.retain(|other| *other != address);
                        match tried {
                            Ok(session) if session.facts.writable => {
                                *lock(&self.last_good) = Some(address);
                                return Ok(self.dated(*session, generation, AGE_MAX));
                            }
                            Ok(session) => {
                                reasons.push(format!("{address}: it is read-only"));
                                // A read-only primary is more up to date than a standby.
                                if read_only.as_ref().is_none_or(|other| other.facts.standby) {
                                    read_only = Some(session);
                                }
                            }
                            Err(reason) => reasons.push(format!("{address}: {reason}")),
                        }
                        if waiting.is_empty() {
                            next_try.set(sleep(Duration::ZERO));
                        }
                    }
                    Err(error) => reasons.push(error.to_string()),
                },
                () = &mut next_try, if !addresses.is_empty() => {
                    next_try.set(sleep(STAGGER.min(self.connect_timeout / (addresses.len() as u32 + 1))));
                    if let Some(address) = addresses.pop_front() {
                        waiting.push(address.clone());
                        steps.spawn(Arc::clone(self).try_address(address, settings.to_owned()));
                    }
                }
            }
        }
        let outage = if read_only.is_some() {
            Outage::ReadOnly
        } else {
            Outage::Away
        };
        if let Some(session) = read_only.filter(|_| access == Access::Read) {
            return Ok(self.dated(*session, generation, READ_ONLY_AGE_MAX));
        }
        let timed_out = |address: Address| format!("{address}: no answer within {:?}", self.connect_timeout);
        reasons.extend(waiting.into_iter().map(timed_out));
        if reasons.is_empty() {
            reasons.push(format!("no host was found within {:?}", self.connect_timeout));
        }
        let reason = format!("cannot connect to PostgreSQL: {}", reasons.join("; "));
        Err(Unavailable { outage, reason })
    }

    /// Sets how long a new connection may be used.
    fn dated(&self, mut session: Session, generation: u64, age_max: Duration) -> Session {
        let opened = self.opened.fetch_add(1, Ordering::Relaxed);
        let spread = AGE_STEP.as_secs().wrapping_mul(opened) % AGE_SPREAD.as_secs();
        let age = age_max
            .saturating_sub(Duration::from_secs(spread))
            .max(READ_ONLY_AGE_MAX);
        session.generation = generation;
        session.expires_at = self.clock.monotonic() + age;
        session
    }

    fn enqueue(&self, addresses: &mut VecDeque<Address>, address: Address) {
        if lock(&self.last_good).as_ref() == Some(&address) {
            addresses.push_front(address);
        } else {
            addresses.push_back(address);
        }
    }

    async fn try_address(self: Arc<Self>, address: Address, settings: String) -> Step {
        let mut config = self.config.clone();
        match &address.host {
            Host::Tcp(ip) => {
                if let Some(name) = &address.name {
                    config.host(name);
                }
                if let Ok(ip) = ip.parse() {
                    config.hostaddr(ip);
                }
            }
            Host::Unix(directory) => {
                config.host_path(directory);
            }
        }
        config.port(address.port);
        let session = Session::open(&config, self.tls.clone(), &settings).await;
        Step::Connected(address, session.map(Box::new))
    }
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self
            .hosts
            .iter()
            .map(|host| format!("{:?}:{}", host.host, host.port));
        f.debug_list().entries(names).finish()
    }
}

/// The hosts of a URL, each with its port.
///
/// # Errors
/// As [`Hosts::of_url`].
pub(super) fn names(url: &str) -> Result<Vec<String>, String> {
    let config: Config = TlsParameters::take(url)?.url.parse().map_err(|_| FORM)?;
    let named = |host: NamedHost| match (host.name, host.host) {
        (Some(name), _) | (None, Host::Tcp(name)) => format!("{name}:{}", host.port),
        (None, Host::Unix(directory)) => format!("{}:{}", directory.display(), host.port),
    };
    Ok(hosts(&config)?.into_iter().map(named).collect())
}

impl NamedHost {
    /// `None` if the name has to be resolved.
    fn address(&self) -> Option<Address> {
        match &self.host {
            Host::Tcp(host) if host.parse::<std::net::IpAddr>().is_err() => None,
            host => Some(Address {
                name: self.name.clone(),
                host: host.clone(),
                port: self.port,
            }),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, &self.name) {
            (Host::Tcp(ip), Some(name)) if ip != name => write!(f, "{name} ({ip}) port {}", self.port),
            (Host::Tcp(ip), _) => write!(f, "{ip} port {}", self.port),
            (Host::Unix(directory), _) => write!(f, "{} port {}", directory.display(), self.port),
        }
    }
}

async fn resolve(name: String, port: u16) -> Step {
    let resolved = tokio::net::lookup_host((name.as_str(), port)).await;
    Step::Resolved(match resolved {
        Ok(found) => Ok(found
            .map(|address| Address {
                name: Some(name.clone()),
                host: Host::Tcp(address.ip().to_string()),
                port,
            })
            .collect()),
        Err(error) => Err(format!("{name}: {error}")),
    })
}

fn hosts(config: &Config) -> Result<Vec<NamedHost>, String> {
    let (names, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = names.len().max(addresses.len());
    if count == 0 {
        return Err("it names no host".to_owned());
    }
    // The end of a password in which an @ is not encoded would count as the host, and be logged.
    let has_at = |name: &Host| matches!(name, Host::Tcp(name) if name.contains('@'));
    if names.iter().any(has_at) {
        return Err(FORM.to_owned());
    }
    if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
        return Err("it must have as many hostaddr as hosts, or none".to_owned());
    }
    if ports.len() > 1 && ports.len() != count {
        return Err("it must have one port for all hosts, or one for each".to_owned());
    }
    let host = |place: usize| {
        let name = names.get(place);
        let address = addresses.get(place).map(|ip| Host::Tcp(ip.to_string()));
        Some(NamedHost {
            name: match name {
                Some(Host::Tcp(name)) => Some(name.clone()),
                _ => None,
            },
            host: address.or_else(|| name.cloned())?,
            port: ports.get(place).or(ports.first()).copied().unwrap_or(5432),
        })
    };
    Ok((0..count).filter_map(host).collect())
}

/// The same configuration without hosts, ports and the settings for choosing between them.
fn without_hosts(given: &Config) -> Config {
    let mut config = Config::new();
    if let Some(user) = given.get_user() {
        config.user(user);
    }
    if let Some(password) = given.get_password() {
        config.password(password);
    }
    if let Some(database) = given.get_dbname() {
        config.dbname(database);
    }
    if let Some(options) = given.get_options() {
        config.options(options);
    }
    if let Some(interval) = given.get_keepalives_interval() {
        config.keepalives_interval(interval);
    }
    if let Some(retries) = given.get_keepalives_retries() {
        config.keepalives_retries(retries);
    }
    config
        .ssl_negotiation(given.get_ssl_negotiation())
        .keepalives(given.get_keepalives())
        .keepalives_idle(given.get_keepalives_idle())
        .channel_binding(given.get_channel_binding());
    config
}

/// The text of an error with its causes, which the library leaves out: the error of the operating system, or why a
/// certificate is not trusted.
pub(super) fn in_full(error: &tokio_postgres::Error) -> String {
    if let Some(refusal) = error.as_db_error() {
        return format!("{} ({})", refusal.message(), refusal.code().code());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(reason) = explain(error) {
            return reason;
        }
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

#[cfg(test)]
mod tests {
    use domain::SystemClock;

    use super::*;

    fn of_url(url: &str) -> Result<Hosts, String> {
        Hosts::of_url(url, Arc::new(SystemClock::new()))
    }

    #[test]
    fn every_host_has_its_name_address_and_port() {
        let cases = [
            ("postgres://h/d", "h port 5432"),
            ("postgres://a,b/d", "a port 5432, b port 5432"),
            ("postgres://a:1,b:2/d", "a port 1, b port 2"),
            ("postgres://10.0.0.1:1/d", "10.0.0.1 port 1"),
            ("postgres://a:1/d?hostaddr=10.0.0.1", "a (10.0.0.1) port 1"),
            ("postgres:///d?hostaddr=10.0.0.1", "10.0.0.1 port 5432"),
            ("postgres://%2Frun%2Fpg/d", "/run/pg port 5432"),
        ];
        for (url, expected) in cases {
            let hosts = of_url(url).unwrap().hosts;
            let addresses = hosts.into_iter().map(|host| Address {
                name: host.name,
                host: host.host,
                port: host.port,
            });
            let addresses: Vec<String> = addresses.map(|address| address.to_string()).collect();
            assert_eq!(addresses.join(", "), expected, "{url}");
        }
    }

    #[test]
    fn a_url_that_leads_nowhere_is_refused() {
        for (url, named) in [
            ("postgres:///d", "no host"),
            ("postgres://a,b/d?hostaddr=10.0.0.1", "hostaddr"),
            ("postgres://a:1,b:2,c/d?port=3", "port"),
            ("postgres://h/d?target_session_attrs=read-only", "read-write"),
        ] {
            let told = of_url(url).map(drop).unwrap_err();
            assert!(told.contains(named), "{url}: {told}");
        }
    }

    #[test]
    fn connect_timeout_is_cut_to_its_maximum() {
        for (query, expected) in [
            ("", CONNECT_TIMEOUT),
            ("?connect_timeout=1", Duration::from_secs(1)),
            ("?connect_timeout=30", CONNECT_TIMEOUT_MAX),
        ] {
            let hosts = of_url(&format!("postgres://h/d{query}")).unwrap();
            assert_eq!(hosts.connect_timeout, expected, "{query}");
        }
    }
}
