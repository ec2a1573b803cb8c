//! `bench load` against a small scripted server on a real socket.

#![allow(clippy::unwrap_used, reason = "a panic names the place that failed")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use serde_json::Value;

/// A server that answers the n-th request with `answer(n)`, and counts requests.
struct FakeServer {
    url: String,
    asked: Arc<AtomicU64>,
}

impl FakeServer {
    fn start(answer: fn(u64) -> Option<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, asked) = (stream.unwrap(), Arc::clone(&count));
                thread::spawn(move || serve(&stream, &asked, answer));
            }
        });
        Self { url, asked }
    }

    fn load(&self, arguments: &[&str]) -> (Output, Value) {
        let output = Command::new(env!("CARGO_BIN_EXE_bench"))
            .args(["load", "--json", "--url", &self.url])
            .args(arguments)
            .output()
            .unwrap();
        let tally = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        (output, tally)
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Answers the requests of one connection; without an answer it hangs up.
fn serve(mut stream: &TcpStream, asked: &AtomicU64, answer: fn(u64) -> Option<u16>) {
    let mut requests = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if requests.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        requests.read_exact(&mut body).unwrap();
        let message: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(message["type"], "sms");
        let Some(status) = answer(asked.fetch_add(1, Ordering::SeqCst)) else {
            return;
        };
        let answer = format!("HTTP/1.1 {status} Status\r\ncontent-length: 2\r\n\r\nok");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn a_closed_loop_counts_what_the_server_answered() {
    let server = FakeServer::start(|_| Some(202));
    let (output, tally) = server.load(&["--connections", "3", "--seconds", "0.3", "--keys"]);
    assert!(output.status.success());
    assert_eq!(tally["accepted"], server.asked());
    assert!(server.asked() > 3, "{tally}");
}

#[test]
fn an_open_loop_sends_as_many_as_are_due() {
    let server = FakeServer::start(|_| Some(202));
    let (output, tally) = server.load(&["--rate", "200", "--connections", "4", "--seconds", "0.5"]);
    assert!(output.status.success());
    assert_eq!(tally["accepted"], 100);
    assert_eq!(server.asked(), 100);
}

#[test]
fn only_a_202_counts_and_anything_else_fails_the_command() {
    let server = FakeServer::start(|number| Some(if number % 4 == 0 { 503 } else { 202 }));
    let (output, tally) = server.load(&["--rate", "400", "--connections", "2", "--seconds", "0.1"]);
    assert!(!output.status.success());
    assert_eq!(tally["accepted"], 30);
    assert_eq!(tally["refused"]["503"], 10);
}

#[test]
fn a_broken_connection_is_neither_accepted_nor_the_end() {
    let server = FakeServer::start(|number| (number != 5).then_some(202));
    let (output, tally) = server.load(&["--rate", "200", "--connections", "1", "--seconds", "0.1"]);
    assert!(!output.status.success());
    assert_eq!(tally["unanswered"], 1);
    assert_eq!(tally["accepted"], 19);
}
