use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::process::{Child, Command};

pub const KEY: &str = "key-of-the-test";
const START_MAX: Duration = Duration::from_secs(60);
const WAIT_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const GREETING: &str = "Trunkline is listening on ";

/// A server process with its own SQLite file. It is killed when dropped.
pub struct Node {
    pub url: String,
    log: PathBuf,
    _process: Child,
}

/// The program, with an empty environment.
pub fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command
        .env_clear()
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

impl Node {
    pub async fn start(folder: &Path) -> Self {
        let (output, log) = (folder.join("stdout"), folder.join("stderr"));
        let mut command = program(folder);
        command
            .env("API_BIND", "127.0.0.1:0")
            .env("API_KEYS", KEY)
            // Messages fail and are retried within the test.
            .env("API_WORKER_MAX_ATTEMPTS", "2")
            .env("API_WORKER_BACKOFF_BASE_MS", "100")
            .env("API_BREAKER_ERROR_THRESHOLD", "3")
            .stdout(File::create(&output).unwrap())
            .stderr(File::create(&log).unwrap());
        // One client makes all requests.
        for limit in ["PER_IP", "PER_SENDER", "WEBHOOK_PER_IP"] {
            command.env(format!("API_RATE_LIMIT_{limit}_PER_MIN"), "100000000");
        }
        let mut process = command.spawn().unwrap();
        let listens = async {
            loop {
                let printed = fs::read_to_string(&output).unwrap();
                if let Some(url) = greeted(&printed) {
                    break url;
                }
                let ended = process.try_wait().unwrap();
                assert!(
                    ended.is_none(),
                    "it ended: {ended:?}\n{}",
                    fs::read_to_string(&log).unwrap()
                );
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let url = tokio::time::timeout(START_MAX, listens).await.unwrap();
        Self {
            url,
            log,
            _process: process,
        }
    }

    pub async fn get(&self, path: &str) -> String {
        self.ask("GET", path, String::new()).await
    }

    /// The body of the answer, which must be a success.
    pub async fn ask(&self, method: &str, path: &str, body: String) -> String {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {KEY}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request).await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// Waits until the answer contains `part`.
    pub async fn wait_for(&self, path: &str, part: &str) {
        let there = async {
            while !self.get(path).await.contains(part) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let waited = tokio::time::timeout(WAIT_MAX, there).await;
        assert!(waited.is_ok(), "waited {WAIT_MAX:?} for {part} in {path}");
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

fn greeted(printed: &str) -> Option<String> {
    let (_, rest) = printed.split_once(GREETING)?;
    Some(rest.split_once(' ')?.0.to_owned())
}
