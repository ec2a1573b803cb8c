use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::load::Authority;

const START_MAX: Duration = Duration::from_secs(30);
const STOP_MAX: Duration = Duration::from_secs(60);
/// What servers print before their URL.
const GREETING: &str = "is listening on ";
/// Clock ticks a second of CPU times in Linux (USER_HZ, a constant for programs).
const TICKS_PER_SECOND: f64 = 100.0;

/// A running server process. It ends with this program.
pub(crate) struct Server {
    pub(crate) authority: Authority,
    process: Child,
    /// Kept open: without a reader the server's writes would fail.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts a server and waits until it prints where it listens. Its log goes to this file.
    pub(crate) async fn start(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(log)?)
            .kill_on_drop(true)
            .spawn()?;
        let output = process.stdout.take().context("its output was piped")?;
        let mut output = BufReader::new(output).lines();
        let greeting = tokio::time::timeout(START_MAX, output.next_line()).await;
        let Some(line) = greeting.context("the server ended before it printed where it listens")?? else {
            bail!(
                "the server did not start:\n{}",
                fs::read_to_string(log).unwrap_or_default()
            );
        };
        let url = line
            .split_once(GREETING)
            .and_then(|(_, rest)| rest.split(' ').next())
            .with_context(|| format!("no URL in {line:?}"))?;
        Ok(Self {
            authority: url.parse()?,
            process,
            _output: output,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id().unwrap_or(0)
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await?;
        anyhow::ensure!(sent.success(), "cannot send SIGTERM to the server");
        let status = tokio::time::timeout(STOP_MAX, self.process.wait()).await;
        let status = status.context("the server did not stop in time")??;
        anyhow::ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    /// Sends SIGKILL.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.process.kill().await?)
    }
}

/// CPU time in seconds used so far; zero where the system does not tell.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) server: f64,
    pub(crate) postgres: f64,
    pub(crate) generator: f64,
}

impl Cpu {
    /// Reads the CPU times. `postmaster` is the parent of PostgreSQL's processes.
    pub(crate) fn now(server: u32, postmaster: Option<u32>) -> Self {
        Self {
            server: of_process(server).map_or(0.0, |stat| stat.own),
            postgres: postmaster.map_or(0.0, of_family),
            generator: of_process(std::process::id()).map_or(0.0, |stat| stat.own),
        }
    }

    /// The CPU time used since then.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            server: self.server - earlier.server,
            postgres: self.postgres - earlier.postgres,
            generator: self.generator - earlier.generator,
        }
    }

    /// For people: cores in use, and microseconds for each message.
    pub(crate) fn line(self, over: Duration, messages: u64) -> String {
        let cores = |seconds: f64| seconds / over.as_secs_f64();
        let each = |seconds: f64| seconds * 1e6 / messages.max(1) as f64;
        format!(
            "cores: server {:.2}, postgres {:.2}, generator {:.2}; CPU us a message: {:.0} + {:.0} + {:.0}",
            cores(self.server),
            cores(self.postgres),
            cores(self.generator),
            each(self.server),
            each(self.postgres),
            each(self.generator),
        )
    }
}

struct Stat {
    parent: u32,
    own: f64,
    /// Of children that have ended.
    gone: f64,
}

fn of_process(id: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// The name of a process may contain anything, so fields are counted from the last parenthesis.
fn parse_stat(stat: &str) -> Option<Stat> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
        gone: (ticks(13)? + ticks(14)?) / TICKS_PER_SECOND,
    })
}

/// Of a process, its living children and its ended ones.
fn of_family(parent: u32) -> f64 {
    let own = of_process(parent).map_or(0.0, |stat| stat.own + stat.gone);
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(of_process)
        .filter(|stat| stat.parent == parent)
        .map(|stat| stat.own);
    own + children.sum::<f64>()
}

/// Resident memory of a process in MiB; zero where the system does not tell.
pub(crate) fn memory_mib(id: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let kib = status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .trim()
            .strip_suffix(" kB")?
            .parse::<f64>()
            .ok()
    });
    kib.unwrap_or(0.0) / 1_024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_the_name() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 0 0 0 0 0 150 50 20 5 20 0 9";
        let stat = parse_stat(stat).unwrap();
        assert_eq!((stat.parent, stat.own, stat.gone), (3, 2.0, 0.25));
        assert!(parse_stat("nonsense").is_none());
    }
}
