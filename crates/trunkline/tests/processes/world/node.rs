use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    time::Duration,
};

use hyper::Method;
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin, Command},
    task::JoinSet,
};

use super::{
    client::{Answer, Client, text},
    log::Log,
    memory::Memory,
    wait::{SOON, Stopwatch, until},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_trunkline");
const GREETING: &str = "Trunkline is listening on ";

/// A server process. It is killed when dropped.
pub(crate) struct Node {
    pub(crate) url: String,
    pub(crate) client: Client,
    process: Child,
    /// Where its standard output goes.
    output: PathBuf,
    log: Log,
    began: Stopwatch,
}

/// The program, with only the test's variables in its environment.
pub(crate) fn program(directory: &Path, variables: &[(String, String)], arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments);
    in_its_place(&mut command, directory, variables);
    command
}

fn in_its_place(command: &mut Command, directory: &Path, variables: &[(String, String)]) {
    command
        .env_clear()
        .envs(variables.iter().cloned())
        .current_dir(directory)
        .stdin(Stdio::null())
        .kill_on_drop(true);
}

/// Runs the program to its end.
pub(crate) async fn run(mut command: Command) -> Output {
    let output = tokio::time::timeout(SOON, command.output()).await;
    output.expect("the program ends by itself").unwrap()
}

/// A command under way.
pub(crate) struct Running {
    process: Child,
    input: Option<ChildStdin>,
}

impl Running {
    pub(super) fn start(mut command: Command) -> Self {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: process.stdin.take(),
            process,
        }
    }

    /// Writes to its standard input. The process may have ended already.
    pub(crate) async fn feed(&mut self, text: &str) {
        let input = self.input.as_mut().expect("its input is open");
        let _ = input.write_all(text.as_bytes()).await;
        let _ = input.flush().await;
    }

    /// Closes its standard input and waits for its end.
    pub(crate) async fn output(mut self) -> Output {
        drop(self.input.take());
        let output = tokio::time::timeout(SOON, self.process.wait_with_output()).await;
        output.expect("the program ends by itself").unwrap()
    }

    /// `kill -9`.
    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Ctrl-C.
    pub(crate) async fn interrupt(&self) {
        signal(&self.process, "INT").await;
    }
}

async fn signal(process: &Child, name: &str) {
    let (signal, id) = (format!("-{name}"), process.id().expect("it runs").to_string());
    let sent = Command::new("kill").args([signal, id]).status().await.unwrap();
    assert!(sent.success());
}

impl Node {
    /// Starts the program and waits until it is ready. `name` tells its files from those of other nodes.
    pub(crate) async fn start(directory: &Path, variables: &[(String, String)], name: &str) -> Self {
        let command = program(directory, variables, &[]);
        let mut node = Self::spawn(command, directory, name);
        node.url = node.until_ready().await;
        node
    }

    /// The same, but a write beyond the file size limit fails instead of killing the process.
    pub(crate) async fn start_surviving_full_files(
        directory: &Path,
        variables: &[(String, String)],
        name: &str,
    ) -> Self {
        let mut command = Command::new("/bin/sh");
        // `exec` keeps ignored signals ignored.
        command.args(["-c", "trap '' XFSZ; exec \"$0\"", PROGRAM]);
        in_its_place(&mut command, directory, variables);
        let mut node = Self::spawn(command, directory, name);
        node.url = node.until_ready().await;
        node
    }

    /// Starts the program and waits until it listens, though its database may be away.
    pub(crate) async fn start_unready(directory: &Path, variables: &[(String, String)], name: &str) -> Self {
        let mut node = Self::spawn(program(directory, variables, &[]), directory, name);
        let address = until("the node listens", SOON, async || {
            let lines = node.log.lines("INFO");
            let address = lines.iter().find_map(|line| line["address"].as_str())?;
            Some(address.to_owned())
        })
        .await;
        node.url = format!("http://{address}");
        node
    }

    /// Starts `serve --test`, and waits for the line with its URL.
    pub(crate) async fn start_test_server(
        directory: &Path,
        variables: &[(String, String)],
        name: &str,
    ) -> Self {
        let command = program(directory, variables, &["serve", "--test"]);
        let mut node = Self::spawn(command, directory, name);
        let line: Value = until("the URL is printed", SOON, async || {
            let printed = fs::read_to_string(&node.output).unwrap();
            let ended = node.process.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {ended:?}\n{}", node.log.text());
            let (line, _) = printed.split_once('\n')?;
            Some(serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        })
        .await;
        node.url = text(&line["url"]);
        node
    }

    fn spawn(mut command: Command, directory: &Path, name: &str) -> Self {
        let (output, log) = (
            directory.join(format!("{name}.stdout")),
            Log::at(directory.join(format!("{name}.stderr"))),
        );
        let process = command
            .stdout(File::create(&output).unwrap())
            .stderr(File::create(log.path()).unwrap())
            .spawn()
            .unwrap();
        Self {
            url: String::new(),
            client: Client::new(),
            process,
            output,
            log,
            began: Stopwatch::start(),
        }
    }

    /// Waits for the greeting, and returns the URL in it.
    pub(crate) async fn until_ready(&mut self) -> String {
        until("the node is ready", SOON, async || {
            let printed = fs::read_to_string(&self.output).unwrap();
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {ended:?}\n{}", self.log.text());
            let (_, rest) = printed.split_once(GREETING)?;
            Some(rest.split_once(' ')?.0.to_owned())
        })
        .await
    }

    pub(crate) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// `None` after its end, and on systems that do not tell.
    pub(crate) fn memory(&self) -> Option<Memory> {
        Memory::of(self.process.id()?)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Everything it printed: once it is ready, its greeting.
    pub(crate) fn greeting(&self) -> String {
        fs::read_to_string(&self.output).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    pub(crate) fn log_lines(&self, level: &str) -> Vec<Value> {
        self.log.lines(level)
    }

    /// Its log, to be read also when it is gone.
    pub(crate) fn log_file(&self) -> Log {
        self.log.clone()
    }

    /// The host and port, for sockets without HTTP.
    pub(crate) fn authority(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// Limits the size of its files from now on.
    pub(crate) async fn limit_files(&self, bytes: Option<u64>) {
        let id = self.process.id().expect("it runs").to_string();
        let most = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        // The soft limit, which can be raised again.
        let limit = format!("--fsize={most}:unlimited");
        let done = Command::new("prlimit")
            .args(["--pid", &id, &limit])
            .status()
            .await;
        assert!(done.unwrap().success());
    }

    /// `kill -9`.
    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    pub(crate) async fn signal_terminate(&self) {
        self.signal("TERM").await;
    }

    /// SIGSTOP: it does nothing until `thaw`.
    pub(crate) async fn freeze(&self) {
        self.signal("STOP").await;
    }

    pub(crate) async fn thaw(&self) {
        self.signal("CONT").await;
    }

    async fn signal(&self, name: &str) {
        signal(&self.process, name).await;
    }

    pub(crate) async fn exit(&mut self, within: Duration) -> ExitStatus {
        let exit = tokio::time::timeout(within, self.process.wait()).await;
        exit.unwrap_or_else(|_| panic!("still running after {within:?}\n{}", self.log.tail()))
            .unwrap()
    }

    /// SIGTERM, which must end in exit status 0.
    pub(crate) async fn stop(mut self) {
        self.signal_terminate().await;
        let status = self.exit(SOON).await;
        assert!(status.success(), "{status}\n{}", self.log.tail());
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, &[], Some(body)).await
    }

    pub(crate) async fn post_with_key(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, &[("idempotency-key", key)], Some(body))
            .await
    }

    /// Posts all bodies concurrently.
    pub(crate) async fn post_at_once(
        &self,
        path: &str,
        headers: &'static [(&'static str, &'static str)],
        bodies: &[Value],
    ) -> Vec<Answer> {
        let mut posts = JoinSet::new();
        for body in bodies {
            let (client, url, body) = (self.client.clone(), format!("{}{path}", self.url), body.clone());
            posts.spawn(async move {
                client
                    .ask(Method::POST, &url, headers, Some(&body))
                    .await
                    .unwrap()
            });
        }
        posts.join_all().await
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let url = format!("{}{path}", self.url);
        let answer = self.client.ask(method, &url, headers, body).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The value of a metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let answer = self.get("/metrics").await;
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("no {name} in\n{text}"))
            .parse()
            .unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the last lines of {}:\n{}",
                self.log.path().display(),
                self.log.tail()
            );
        }
    }
}
