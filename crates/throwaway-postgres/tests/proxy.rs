//! A test gets exactly the network faults it asks for.

#![allow(clippy::unwrap_used, reason = "a panic names the place that failed")]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use throwaway_postgres::{Proxy, UnreachablePort};
use tokio::time::Instant;

const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How long silence must last to count. A slow machine makes this easier to pass, not harder.
const SILENCE: Duration = Duration::from_millis(300);

/// A server that answers each byte with the same byte.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
    port
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    stream.set_read_timeout(Some(ANSWER_MAX)).unwrap();
    stream
}

fn says(stream: &mut TcpStream, byte: u8) -> std::io::Result<bool> {
    stream.write_all(&[byte])?;
    let mut answer = [0];
    stream.read_exact(&mut answer).map(|()| answer == [byte])
}

/// Whether the other end hung up.
fn has_ended(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let silent = matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
    stream.set_read_timeout(Some(ANSWER_MAX)).unwrap();
    silent
}

#[test]
fn a_slow_link_takes_the_time_its_rate_says_in_each_direction() {
    const BYTES: usize = 300_000;
    const RATE: u64 = 1_000_000;
    let proxy = Proxy::before(echo());
    for (to_server, to_client) in [(Some(RATE), None), (None, Some(RATE))] {
        proxy.limit(to_server, to_client);
        // Two share it.
        let streams = [connect(&proxy), connect(&proxy)];
        #[allow(clippy::disallowed_methods, reason = "the link takes real time")]
        let begins = Instant::now();
        let transfers = streams.map(|mut stream| {
            let mut writer = stream.try_clone().unwrap();
            thread::spawn(move || writer.write_all(&[7; BYTES / 2]).unwrap());
            thread::spawn(move || stream.read_exact(&mut [0; BYTES / 2]).unwrap())
        });
        for transfer in transfers {
            transfer.join().unwrap();
        }
        // The link is never faster than its rate; on a busy machine it may be slower.
        let least = Duration::from_secs_f64(BYTES as f64 / RATE as f64);
        assert!(begins.elapsed() >= least, "{:?} < {least:?}", begins.elapsed());
    }
    proxy.limit(None, None);
    assert!(says(&mut connect(&proxy), 1).unwrap());
}

#[test]
fn a_black_hole_takes_connections_and_says_nothing_until_it_is_restored() {
    let proxy = Proxy::before(echo());
    let mut open = connect(&proxy);
    assert!(says(&mut open, 1).unwrap());
    proxy.black_hole();
    let mut new = connect(&proxy);
    for stream in [&mut open, &mut new] {
        stream.write_all(&[2]).unwrap();
        assert!(is_silent(stream));
    }
    proxy.restore();
    for mut stream in [open, new] {
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [2]);
    }
}

#[test]
fn cut_ends_what_is_open_and_refuse_also_what_comes() {
    let proxy = Proxy::before(echo());
    let mut open = connect(&proxy);
    assert!(says(&mut open, 1).unwrap());
    proxy.cut();
    assert!(has_ended(&mut open));
    assert!(says(&mut connect(&proxy), 2).unwrap());
    proxy.refuse();
    assert!(has_ended(&mut connect(&proxy)));
    proxy.restore();
    assert!(says(&mut connect(&proxy), 3).unwrap());
}

#[test]
fn exactly_one_request_or_answer_is_lost() {
    let proxy = Proxy::before(echo());
    for lose in [Proxy::lose_next_request, Proxy::lose_next_answer] {
        let mut stream = connect(&proxy);
        assert!(says(&mut stream, 1).unwrap());
        lose(&proxy);
        stream.write_all(&[2]).unwrap();
        assert!(has_ended(&mut stream));
        assert!(says(&mut connect(&proxy), 3).unwrap());
    }
}

#[test]
fn new_connections_lead_to_the_other_server() {
    let proxy = Proxy::before(echo());
    let mut first = connect(&proxy);
    assert!(says(&mut first, 1).unwrap());
    let second = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.lead_to(second.local_addr().unwrap().port());
    let mut stream = connect(&proxy);
    stream.write_all(&[9]).unwrap();
    let mut read = [0];
    second.accept().unwrap().0.read_exact(&mut read).unwrap();
    assert_eq!(read, [9]);
    assert!(says(&mut first, 2).unwrap());
}

#[test]
fn a_url_leads_through_the_proxy() {
    let proxy = Proxy::before(5432);
    assert_eq!(
        proxy.url("postgres://postgres@127.0.0.1:5432/name"),
        format!("postgres://postgres@127.0.0.1:{}/name", proxy.port())
    );
}

#[test]
fn an_unreachable_port_says_neither_yes_nor_no() {
    let unreachable = UnreachablePort::take();
    let (answers, answered) = channel();
    thread::spawn(move || answers.send(TcpStream::connect(("127.0.0.1", unreachable.port()))));
    let answer = answered.recv_timeout(SILENCE);
    assert!(matches!(answer, Err(RecvTimeoutError::Timeout)), "{answer:?}");
}
