//! A shell process that owns the server and its directory, outlives this process and then removes both. A destructor cannot
//! promise that: statics are not dropped, and SIGKILL runs nothing.

use std::collections::VecDeque;

use parking_lot::Mutex;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::installation::Installation;

/// How long one step may take: creating the cluster, a start with recovery, a stop with a checkpoint. Generous, since many test
/// processes may share a slow disk.
const STEP_MAX: Duration = Duration::from_secs(120);
const LOG_LINES_MAX: usize = 60;
const CONNECTIONS_MAX: u32 = 200;

pub(crate) struct Guardian {
    process: Child,
    /// `Some` until drop; the guardian cleans up when this end of the pipe closes.
    verbs: Option<ChildStdin>,
    events: Mutex<Receiver<Event>>,
    log: Log,
    directory: PathBuf,
}

#[derive(Debug, PartialEq)]
enum Event {
    Directory(PathBuf),
    Ready,
    Exited,
    Done,
}

pub(crate) struct PortTaken;

impl Guardian {
    /// Creates a cluster: a new one, or a standby of the primary on a port. `settings` are lines of its configuration.
    pub(crate) fn spawn(installation: &Installation, settings: &str, primary: Option<u16>) -> Guardian {
        let mut command = Command::new("sh");
        command
            .args(["-c", include_str!("guardian.sh"), "throwaway-postgres-guardian"])
            .arg(&installation.binaries)
            .arg(CONNECTIONS_MAX.to_string())
            .arg(settings)
            .arg(primary.map_or_else(String::new, |port| port.to_string()))
            // The log is parsed, so its language must not depend on the machine.
            .env("LC_ALL", "C")
            // The server's user may not be allowed into the current directory.
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C ends this process; the guardian must live on to clean up.
            .process_group(0);
        if let Some(user) = &installation.run_as {
            command.uid(user.uid).gid(user.gid);
        }
        let mut process = command
            .spawn()
            .expect("starting `sh`, which runs PostgreSQL: is it on the PATH?");
        let verbs = process.stdin.take();
        let output = process.stdout.take().expect("the command above asks for a pipe");
        let (sender, events) = channel();
        let log = Log::default();
        thread::spawn({
            let log = log.clone();
            move || follow(output, &log, &sender)
        });
        let directory = PathBuf::new();
        let mut guardian = Guardian {
            process,
            verbs,
            events: Mutex::new(events),
            log,
            directory,
        };
        guardian.directory = guardian.wait_for("create a cluster", |event| match event {
            Event::Directory(directory) => Some(directory),
            _ => None,
        });
        guardian
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn start(&mut self, port: u16) -> Result<(), PortTaken> {
        self.log.clear();
        self.say(&format!("start {port}"));
        let started = self.wait_for("start", |event| match event {
            Event::Ready => Some(true),
            Event::Exited => Some(false),
            _ => None,
        });
        match started {
            true => Ok(()),
            false if self.log.contains("Address already in use") => Err(PortTaken),
            false => panic!(
                "PostgreSQL exited instead of starting; its last words:\n{}",
                self.log.text()
            ),
        }
    }

    /// Sends a verb and waits until the guardian has carried it out.
    pub(crate) fn carry_out(&mut self, verb: &str) {
        self.say(verb);
        self.wait_for(verb, |event| (event == Event::Done).then_some(()));
    }

    fn say(&mut self, verb: &str) {
        // A server that restarted by itself has left events that answer no verb.
        let events = self.events.get_mut();
        while events.try_recv().is_ok() {}
        let verbs = self
            .verbs
            .as_mut()
            .expect("the pipe to the guardian is open until drop");
        if let Err(error) = writeln!(verbs, "{verb}") {
            panic!(
                "the guardian of PostgreSQL is gone ({error}); its last words:\n{}",
                self.log.text()
            );
        }
    }

    /// The processes of all guardians and servers, according to `ps`.
    fn processes(&self) -> String {
        let list = Command::new("ps")
            .args(["-A", "-o", "pid=,ppid=,stat=,etime=,wchan:30=,args="])
            .output();
        let list = list.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let ours = |line: &&str| {
            line.contains("throwaway-postgres") || line.contains("postgres:") || line.contains("initdb")
        };
        let list = list.unwrap_or_else(|error| format!("throwaway-postgres cannot ask `ps`: {error}"));
        list.lines().filter(ours).collect::<Vec<_>>().join("\n")
    }

    fn wait_for<T>(&mut self, step: &str, wanted: impl Fn(Event) -> Option<T>) -> T {
        let events = self.events.get_mut();
        loop {
            match events.recv_timeout(STEP_MAX) {
                Ok(event) => {
                    if let Some(answer) = wanted(event) {
                        return answer;
                    }
                }
                Err(error) => panic!(
                    "PostgreSQL did not {step} ({error}, the limit is {STEP_MAX:?}). As root it runs as the user \
                     `postgres`, who must be able to write to TMPDIR. Its last words:\n{}\nIts processes, and what \
                     they wait for:\n{}",
                    self.log.text(),
                    self.processes()
                ),
            }
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.verbs = None;
        // PostgreSQL bounds it: an immediate stop kills stragglers after five seconds.
        let _ = self.process.wait();
    }
}

fn follow(output: ChildStdout, log: &Log, events: &Sender<Event>) {
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        let event = match line.strip_prefix("guardian: ") {
            Some("exited") => Some(Event::Exited),
            Some("done") => Some(Event::Done),
            Some(rest) => rest
                .strip_prefix("directory ")
                .map(|path| Event::Directory(path.into())),
            // A standby says `read-only connections`, or without the hyphen.
            None if line.contains("LOG:  database system is ready to accept ") => Some(Event::Ready),
            None => None,
        };
        log.push(line);
        if let Some(event) = event {
            // After the drop there is no receiver. Read on, so that a full pipe does not block the server's end.
            let _ = events.send(event);
        }
    }
}

/// The last lines of the server, for error messages.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    fn push(&self, line: String) {
        let mut lines = self.0.lock();
        if lines.len() == LOG_LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn clear(&self) {
        self.0.lock().clear();
    }

    fn contains(&self, words: &str) -> bool {
        self.0.lock().iter().any(|line| line.contains(words))
    }

    fn text(&self) -> String {
        Vec::from(self.0.lock().clone()).join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_an_answer_after_which_another_one_works() {
        let other_program = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = other_program.local_addr().unwrap().port();
        let mut guardian = Guardian::spawn(&Installation::find(), "", None);
        assert!(guardian.start(taken).is_err());
        assert!((0..crate::PORT_TRIES_MAX).any(|_| guardian.start(crate::next_port()).is_ok()));
    }
}
