//! A killed process cannot clean up; its guardian does.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

const CLEANED_UP_MAX: Duration = Duration::from_secs(60);

#[test]
fn a_killed_process_leaves_no_server_and_no_directory_behind() {
    // The shell makes a second handle of the output, which every process started from here on inherits. So the output ends
    // when the last of them (guardian, server, its children) is gone.
    let mut child = Command::new("sh")
        .args([
            "-c",
            r#"exec "$0" 9>&1"#,
            env!("CARGO_BIN_EXE_throwaway-postgres"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let (url, directory) = (line(), line());
    let address = url
        .strip_prefix("postgres://postgres@")
        .and_then(|rest| rest.split('/').next())
        .unwrap();
    assert!(TcpStream::connect(address).is_ok(), "{url}");
    assert!(
        Path::new(&directory).join("data/postmaster.pid").exists(),
        "{directory}"
    );

    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    let (ended, end) = channel();
    thread::spawn(move || ended.send(output.read_to_end(&mut Vec::new()).unwrap()));
    end.recv_timeout(CLEANED_UP_MAX)
        .expect("the guardian or the server still runs");

    assert!(!Path::new(&directory).exists(), "{directory} was left behind");
    assert!(
        TcpStream::connect(address).is_err(),
        "something still listens on {address}"
    );
}
