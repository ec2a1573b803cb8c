//! A file with one line for each simulated call: tests compare it with the store, across kills and nodes. It
//! holds ids only, no addresses and no content.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use domain::{Channel, MessageId, Outcome, ProviderName, Timestamp};
use serde::Serialize;
use thiserror::Error;

/// One line, as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct LedgerEntry<'a> {
    pub(crate) at: Timestamp,
    pub(crate) provider: &'a ProviderName,
    /// The place in the provider's sequence: 1, 2, 3 …, from 1 again whenever the sequence restarts.
    pub(crate) call: u64,
    pub(crate) message_id: MessageId,
    pub(crate) attempt_number: u32,
    pub(crate) channel: Channel,
    /// As the simulated provider decided it. The caller may have given up before the answer.
    pub(crate) outcome: Outcome,
    /// Whether the provider has the message: it may also take one without an answer.
    pub(crate) taken: bool,
}

#[derive(Debug, Error)]
#[error("cannot append to the ledger file {}: {source}; choose one that can be written", .path.display())]
pub struct LedgerError {
    path: PathBuf,
    source: io::Error,
}

/// Several providers and processes may append to the same file.
#[derive(Debug)]
pub(crate) struct LedgerFile(File);

impl LedgerFile {
    pub(crate) fn open(path: &Path) -> Result<Self, LedgerError> {
        let opened = OpenOptions::new().append(true).create(true).open(path);
        opened.map(Self).map_err(|source| LedgerError {
            path: path.to_owned(),
            source,
        })
    }

    /// The operating system has the line when this returns, so that it outlives the process; it is not synced. If
    /// the line cannot be written, that is logged and the call goes on.
    pub(crate) fn append(&self, entry: &LedgerEntry<'_>) {
        if let Err(error) = self.write_line(entry) {
            tracing::error!(
                provider = %entry.provider,
                call = entry.call,
                message_id = %entry.message_id,
                attempt_number = entry.attempt_number,
                outcome = entry.outcome.as_str(),
                %error,
                "cannot append this call to the ledger file, and goes on without: check its disk, or choose another file"
            );
        }
    }

    /// One write for each line, so that lines of several processes do not mix.
    fn write_line(&self, entry: &LedgerEntry<'_>) -> io::Result<()> {
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

    fn provider() -> ProviderName {
        "sms-mms".parse().unwrap()
    }

    fn entry(provider: &ProviderName, call: u64) -> LedgerEntry<'_> {
        LedgerEntry {
            at: Timestamp::from_micros(1_700_000_000_000_001).unwrap(),
            provider,
            call,
            message_id: "018bcfe5-6800-7004-8000-000000000001".parse().unwrap(),
            attempt_number: 2,
            channel: Channel::Mms,
            outcome: Outcome::Timeout,
            taken: true,
        }
    }

    #[test]
    fn a_line_has_the_fields_that_tests_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        LedgerFile::open(file.path())
            .unwrap()
            .append(&entry(&provider(), 7));
        assert_eq!(
            std::fs::read_to_string(file.path()).unwrap(),
            "{\"at\":\"2023-11-14T22:13:20.000001Z\",\"provider\":\"sms-mms\",\"call\":7,\
             \"message_id\":\"018bcfe5-6800-7004-8000-000000000001\",\"attempt_number\":2,\
             \"channel\":\"mms\",\"outcome\":\"timeout\",\"taken\":true}\n"
        );
    }

    #[test]
    fn two_writers_share_a_file_line_by_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let calls = 2_000;
        std::thread::scope(|scope| {
            for writer in 0..2 {
                let ledger = LedgerFile::open(file.path()).unwrap();
                scope.spawn(move || {
                    (0..calls).for_each(|call| ledger.append(&entry(&provider(), writer * calls + call)))
                });
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
        assert!(read_only.write_line(&entry(&provider(), 1)).is_err());
        read_only.append(&entry(&provider(), 1));
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "");
    }
}
