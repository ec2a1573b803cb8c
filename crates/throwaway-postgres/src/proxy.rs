//! A TCP proxy between a program and its server that makes the network slow, silent, cut, or lose exactly one request or
//! answer. It has a thread of its own, so a test that blocks does not slow it.

use std::io;

use parking_lot::Mutex;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// The buffer of a socket for a reader that waits. Small: with the kernel's default of megabytes a sender would finish long before
/// the slow link has carried anything.
const SOCKET_BUFFER_BYTES: u32 = 64 * 1024;
/// Bytes of one read.
const CHUNK_BYTES_MAX: usize = 64 * 1024;
/// A slow link carries bytes in portions of this duration, so that connections share it and a new rate applies soon.
const PORTION: Duration = Duration::from_millis(20);
const BACKLOG: u32 = 1_024;

/// A proxy on a port of 127.0.0.1. Dropping it ends all its connections and closes the port. Settings apply to open and new
/// connections.
pub struct Proxy {
    port: u16,
    state: watch::Sender<State>,
    next_request: Arc<Mutex<Fate>>,
    /// Ends the thread when dropped.
    _running: oneshot::Sender<()>,
}

#[derive(Clone, Copy)]
struct State {
    server_port: u16,
    flow: Flow,
    to_server: Option<u64>,
    to_client: Option<u64>,
    /// Grows with each cut: a connection ends when the number differs from that at its start.
    cuts: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Flow {
    Open,
    Silent,
    Refused,
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Pass,
    LoseRequest,
    LoseAnswer,
}

impl Proxy {
    /// A proxy that passes everything on to a port of 127.0.0.1 at full speed.
    pub fn before(server_port: u16) -> Proxy {
        let (state, states) = watch::channel(State {
            server_port,
            flow: Flow::Open,
            to_server: None,
            to_client: None,
            cuts: 0,
        });
        let next_request = Arc::new(Mutex::new(Fate::Pass));
        let (running, stopped) = oneshot::channel();
        let (bound, ports) = std::sync::mpsc::channel();
        let network = Network {
            states,
            next_request: Arc::clone(&next_request),
            to_server: Link::default(),
            to_client: Link::default(),
        };
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .expect("building a runtime on one thread")
                .block_on(async {
                    let listener = listen().expect("binding a free port of 127.0.0.1");
                    let address = listener.local_addr().expect("a bound socket has an address");
                    bound
                        .send(address.port())
                        .expect("the constructor waits for the port");
                    tokio::select! {
                        () = accept(listener, Arc::new(network)) => {}
                        _ = stopped => {}
                    }
                });
        });
        Proxy {
            port: ports.recv().expect("the proxy's thread binds a port"),
            state,
            next_request,
            _running: running,
        }
    }

    /// The port of 127.0.0.1 it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same URL with the proxy's port instead of the server's.
    ///
    /// # Panics
    /// If the URL does not name the port this proxy leads to.
    pub fn url(&self, server_url: &str) -> String {
        let server = format!(":{}/", self.state.borrow().server_port);
        assert!(
            server_url.contains(&server),
            "{server_url} does not name {server}"
        );
        server_url.replace(&server, &format!(":{}/", self.port))
    }

    /// Limits the link to so many bytes a second, for all connections together and each direction. `None`: full speed.
    pub fn limit(&self, to_server: Option<u64>, to_client: Option<u64>) {
        self.state.send_modify(|state| {
            state.to_server = to_server;
            state.to_client = to_client;
        });
    }

    /// Passes nothing on: open connections hang, new ones open and hang. What is sent meanwhile arrives after
    /// [`Proxy::restore`].
    pub fn black_hole(&self) {
        self.state.send_modify(|state| state.flow = Flow::Silent);
    }

    /// Ends every open connection, and each new one at once.
    pub fn refuse(&self) {
        self.state.send_modify(|state| {
            state.flow = Flow::Refused;
            state.cuts += 1;
        });
    }

    /// Ends every open connection; new ones work.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Lets everything pass again. The byte rate stays.
    pub fn restore(&self) {
        self.state.send_modify(|state| state.flow = Flow::Open);
    }

    /// New connections lead to another port of 127.0.0.1, as after a DNS change. Open ones stay.
    pub fn lead_to(&self, server_port: u16) {
        self.state.send_modify(|state| state.server_port = server_port);
    }

    /// The next request, of any connection, does not reach the server: its connection is cut.
    pub fn lose_next_request(&self) {
        self.set_fate(Fate::LoseRequest);
    }

    /// The next request, of any connection, is carried out and its answer is lost: its connection is cut.
    pub fn lose_next_answer(&self) {
        self.set_fate(Fate::LoseAnswer);
    }

    fn set_fate(&self, fate: Fate) {
        *self.next_request.lock() = fate;
    }
}

fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // Accepted connections inherit it.
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    socket.listen(BACKLOG)
}

/// Shared by all connections of a proxy.
struct Network {
    states: watch::Receiver<State>,
    next_request: Arc<Mutex<Fate>>,
    to_server: Link,
    to_client: Link,
}

async fn accept(listener: TcpListener, network: Arc<Network>) {
    while let Ok((client, _)) = listener.accept().await {
        let network = Arc::clone(&network);
        tokio::spawn(async move {
            let mut states = network.states.clone();
            let cuts = states.borrow().cuts;
            tokio::select! {
                // An error is the end of the connection.
                _ = pass(client, &network) => {}
                _ = states.wait_for(|state| state.cuts != cuts) => {}
            }
        });
    }
}

async fn pass(client: TcpStream, network: &Network) -> io::Result<()> {
    let Ok(state) = until_open(&network.states).await else {
        return Ok(());
    };
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    let server = socket
        .connect(SocketAddr::from((Ipv4Addr::LOCALHOST, state.server_port)))
        .await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let losing_answer = AtomicBool::new(false);
    tokio::select! {
        done = requests(client_reads, server_writes, network, &losing_answer) => done,
        done = answers(server_reads, client_writes, network, &losing_answer) => done,
    }
}

async fn requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    network: &Network,
    losing_answer: &AtomicBool,
) -> io::Result<()> {
    let rate = || network.states.borrow().to_server;
    let mut chunk = vec![0; CHUNK_BYTES_MAX];
    loop {
        let length = client.read(&mut chunk[..portion(rate())]).await?;
        if length == 0 {
            return Ok(());
        }
        let fate = std::mem::replace(&mut *network.next_request.lock(), Fate::Pass);
        match fate {
            Fate::LoseRequest => return Ok(()),
            Fate::LoseAnswer => losing_answer.store(true, Ordering::SeqCst),
            Fate::Pass => {}
        }
        network.to_server.carry(length, rate()).await;
        if until_open(&network.states).await.is_err() {
            return Ok(());
        }
        server.write_all(&chunk[..length]).await?;
    }
}

async fn answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    network: &Network,
    losing_answer: &AtomicBool,
) -> io::Result<()> {
    let rate = || network.states.borrow().to_client;
    let mut chunk = vec![0; CHUNK_BYTES_MAX];
    loop {
        let length = server.read(&mut chunk[..portion(rate())]).await?;
        if length == 0 || losing_answer.load(Ordering::SeqCst) {
            return Ok(());
        }
        network.to_client.carry(length, rate()).await;
        if until_open(&network.states).await.is_err() {
            return Ok(());
        }
        client.write_all(&chunk[..length]).await?;
    }
}

/// Waits while the proxy is silent. An error if connections are refused or the proxy is gone.
async fn until_open(states: &watch::Receiver<State>) -> Result<State, ()> {
    let mut states = states.clone();
    let state = states.wait_for(|state| state.flow != Flow::Silent).await;
    match state {
        Ok(state) if state.flow == Flow::Open => Ok(*state),
        _ => Err(()),
    }
}

fn portion(bytes_per_second: Option<u64>) -> usize {
    bytes_per_second.map_or(CHUNK_BYTES_MAX, |rate| {
        let bytes = (rate as f64 * PORTION.as_secs_f64()) as usize;
        bytes.clamp(1, CHUNK_BYTES_MAX)
    })
}

/// One direction of the link, used by one portion at a time.
#[derive(Default)]
struct Link(tokio::sync::Mutex<Option<Instant>>);

impl Link {
    /// Takes as long as the link needs for so many bytes. The mutex is fair, so connections take turns.
    async fn carry(&self, bytes: usize, bytes_per_second: Option<u64>) {
        let Some(rate) = bytes_per_second else {
            return;
        };
        let mut free_at = self.0.lock().await;
        let now = now();
        let begins = free_at.map_or(now, |free_at| free_at.max(now));
        let ends = begins + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        *free_at = Some(ends);
        tokio::time::sleep_until(ends).await;
    }
}

#[allow(clippy::disallowed_methods, reason = "the link is real and takes real time")]
fn now() -> Instant {
    Instant::now()
}

/// A port of 127.0.0.1 that drops every attempt to connect, like a host that is off: clients get no answer, not even a refusal.
/// Works on Linux, where a full backlog drops new connections.
pub struct UnreachablePort {
    port: u16,
    /// They fill the backlog.
    _waiting: Vec<std::net::TcpStream>,
    _listener: std::net::TcpListener,
}

impl UnreachablePort {
    /// Takes a free port and fills its backlog.
    pub fn take() -> UnreachablePort {
        /// Loopback answers in microseconds; without an answer in this time the connection is dropped.
        const DROPPED_AFTER: Duration = Duration::from_millis(300);
        const WAITING_MAX: usize = 64;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("building a runtime on one thread");
        let listener = {
            let _inside = runtime.enter();
            let socket = TcpSocket::new_v4().expect("making a socket");
            socket
                .bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
                .expect("binding a free port of 127.0.0.1");
            let listener = socket.listen(1).expect("listening on a free port");
            listener.into_std().expect("a listener can leave its runtime")
        };
        let address = listener.local_addr().expect("a bound socket has an address");
        let mut waiting = Vec::new();
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, DROPPED_AFTER) {
            waiting.push(stream);
            assert!(
                waiting.len() < WAITING_MAX,
                "a full backlog still takes connections"
            );
        }
        UnreachablePort {
            port: address.port(),
            _waiting: waiting,
            _listener: listener,
        }
    }

    /// The port that drops connections.
    pub fn port(&self) -> u16 {
        self.port
    }
}
