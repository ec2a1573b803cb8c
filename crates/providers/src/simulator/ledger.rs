//! What the simulated providers were asked to send: the oracle of tests, in memory and, across kills and
//! nodes, in a file. It identifies messages and says nothing of what is in them, nor of who writes to whom.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use domain::{Channel, MessageId, Outcome, Timestamp};
use serde::Serialize;

use super::Simulated;

/// How many calls a simulated provider remembers; the oldest go first.
pub const LEDGER_CALLS_MAX: usize = 10_000;

/// One call a simulated provider got. In the ledger file it is one line of JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct LedgerEntry {
    /// When it came in.
    pub at: Timestamp,
    /// Who was called.
    pub provider: Simulated,
    /// Its place in the provider's sequence: 1, 2, 3 …, from 1 again whenever the sequence restarts.
    pub call: u64,
    /// Which message.
    pub message_id: MessageId,
    /// Which try, as the caller counts.
    pub attempt_number: u32,
    /// How the message was to travel.
    pub channel: Channel,
    /// What the provider made of it. `timeout` means that it hung; of the others, the caller may still have
    /// heard nothing.
    pub outcome: Outcome,
}

/// The latest calls of one provider.
#[derive(Default, Debug)]
pub(super) struct Ledger(VecDeque<LedgerEntry>);

impl Ledger {
    pub(super) fn push(&mut self, entry: LedgerEntry) {
        if self.0.len() == LEDGER_CALLS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(entry);
    }

    pub(super) fn entries(&self) -> Vec<LedgerEntry> {
        self.0.iter().copied().collect()
    }
}

/// The file that gets one line a call, from every provider and process that was given it.
#[derive(Debug)]
pub(super) struct LedgerFile(File);

impl LedgerFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().append(true).create(true).open(path).map(Self)
    }

    /// Appends a line. A line that cannot be written is told in the log: the call goes on, it has happened.
    ///
    /// The operating system has the line when this returns, so that it outlives the process. Nothing waits
    /// for the disk: a power cut is not among the faults this is an oracle of.
    pub(super) fn append(&self, entry: &LedgerEntry) {
        if let Err(error) = self.write_line(entry) {
            tracing::error!(
                provider = entry.provider.as_str(),
                call = entry.call,
                message_id = %entry.message_id,
                attempt_number = entry.attempt_number,
                outcome = entry.outcome.as_str(),
                %error,
                "the ledger file misses this call: free or repair its disk, or choose another file"
            );
        }
    }

    /// One write a line: appends of several processes do not mix, but two writes could be parted by somebody
    /// else's.
    fn write_line(&self, entry: &LedgerEntry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let written = (&self.0).write(&line)?;
        if written < line.len() {
            return Err(io::Error::new(
                io::ErrorKind::WriteZero,
                "only a part of the line was written",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(call: u64) -> LedgerEntry {
        LedgerEntry {
            at: Timestamp::from_micros(1_700_000_000_000_001).unwrap(),
            provider: Simulated::SmsMms,
            call,
            message_id: "018bcfe5-6800-7004-8000-000000000001".parse().unwrap(),
            attempt_number: 2,
            channel: Channel::Mms,
            outcome: Outcome::RateLimited,
        }
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go_first() {
        let mut ledger = Ledger::default();
        let calls = LEDGER_CALLS_MAX as u64 + 2;
        (1..=calls).for_each(|call| ledger.push(entry(call)));
        let entries = ledger.entries();
        assert_eq!(entries.len(), LEDGER_CALLS_MAX);
        assert_eq!((entries[0].call, entries[LEDGER_CALLS_MAX - 1].call), (3, calls));
    }

    #[test]
    fn a_line_has_the_fields_that_tests_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        LedgerFile::open(file.path()).unwrap().append(&entry(7));
        assert_eq!(
            std::fs::read_to_string(file.path()).unwrap(),
            "{\"at\":\"2023-11-14T22:13:20.000001Z\",\"provider\":\"sms-mms\",\"call\":7,\
             \"message_id\":\"018bcfe5-6800-7004-8000-000000000001\",\"attempt_number\":2,\
             \"channel\":\"mms\",\"outcome\":\"rate_limited\"}\n"
        );
    }

    #[test]
    fn two_writers_share_a_file_line_by_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let calls = 2_000;
        std::thread::scope(|scope| {
            for writer in 0..2 {
                let ledger = LedgerFile::open(file.path()).unwrap();
                scope.spawn(move || (0..calls).for_each(|call| ledger.append(&entry(writer * calls + call))));
            }
        });
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(text.ends_with('\n'));
        let call = |line: &str| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["call"]
                .as_u64()
                .unwrap()
        };
        let mut seen: Vec<_> = text.lines().map(call).collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..2 * calls));
    }

    #[test]
    fn a_file_that_cannot_be_written_stops_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read_only = LedgerFile(File::open(file.path()).unwrap());
        assert!(read_only.write_line(&entry(1)).is_err());
        read_only.append(&entry(1));
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "");
    }
}
