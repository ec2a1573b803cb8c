use std::{collections::BTreeMap, time::Duration};

use super::{Fault, NODES, Trouble};
use crate::world::{Log, Node};

#[derive(Default)]
pub(crate) struct Diary {
    /// By kind of fault: how often, and the longest until all nodes served again.
    pub(crate) faults: BTreeMap<&'static str, (usize, Duration)>,
    /// How many faults struck in the middle of each trouble.
    pub(crate) troubles: BTreeMap<&'static str, usize>,
    /// The longest until all that was due after a fault had been tried.
    pub(crate) slowest_progress: Duration,
    /// Processes that were killed, and those that were asked to stop.
    pub(crate) killed: usize,
    pub(crate) stopped: usize,
    pub(crate) slowest_refusal: Duration,
    /// The most entries that waited in the outbox just before a fault.
    pub(crate) waiting_max: usize,
    pub(crate) places: [Place; NODES],
    /// Lines of the logs at the level WARN.
    pub(crate) warnings: BTreeMap<String, usize>,
    pub(crate) errors: usize,
    pub(crate) panics: usize,
    /// Violations, in words.
    pub(crate) broken: Vec<String>,
}

/// The processes of a node, one after another. Memory is in kilobytes, if the system tells.
#[derive(Default)]
pub(crate) struct Place {
    pub(crate) processes: usize,
    pub(crate) oldest: Duration,
    pub(crate) memory_begin: Option<u64>,
    pub(crate) memory_max: Option<u64>,
    pub(crate) memory_end: Option<u64>,
}

impl Diary {
    pub(super) fn struck(&mut self, fault: Fault, meanwhile: Option<Trouble>, back_after: Duration) {
        if let Some(trouble) = meanwhile {
            *self.troubles.entry(trouble.name()).or_default() += 1;
        }
        let (times, longest) = self.faults.entry(fault.name()).or_default();
        *times += 1;
        *longest = back_after.max(*longest);
    }

    /// The result of a step; a failure is recorded.
    pub(super) fn note<T>(&mut self, step: &str, result: Result<T, String>) -> Option<T> {
        result
            .map_err(|words| self.broken.push(format!("{step}: {words}")))
            .ok()
    }

    /// Checks the log of a node that ended: no panic, and no ERROR except for a missing provider. No fault of a storm is an
    /// error of the service.
    pub(super) fn read(&mut self, log: &Log) {
        for line in log.lines("WARN") {
            let message = line["message"].as_str().unwrap_or_default();
            *self.warnings.entry(message.to_owned()).or_default() += 1;
        }
        let mut errors = log.lines("ERROR");
        errors.retain(|line| {
            line["message"] != "no provider serves this channel, or no route fits the addresses: the request is refused with 500"
        });
        self.errors += errors.len();
        self.broken
            .extend(errors.iter().map(|line| format!("in a log: {line}")));
        let text = log.text();
        let panics = text.lines().filter(|line| line.contains("panicked at"));
        for line in panics {
            self.panics += 1;
            self.broken.push(format!("in a log: {line}"));
        }
    }
}

impl Place {
    pub(super) fn arrived(&mut self, node: &Node) {
        self.processes += 1;
        if self.processes == 1 {
            self.memory_begin = node.memory().map(|memory| memory.now);
        }
    }

    /// The process is about to end.
    pub(super) fn ends(&mut self, node: &Node) {
        let memory = node.memory();
        self.oldest = self.oldest.max(node.age());
        self.memory_max = self.memory_max.max(memory.map(|memory| memory.peak));
        self.memory_end = memory.map(|memory| memory.now);
    }
}
