//! What happened, in order: always as one number, and on demand as lines to read.

use std::{fmt, fmt::Write, time::Duration};

use domain::MessageId;

/// A fact beside an event.
#[derive(Clone, Copy)]
pub(crate) enum Fact {
    Number(i64),
    Word(&'static str),
    Message(MessageId),
}

/// The events of a run.
pub(crate) struct Trace {
    hash: u64,
    lines: Option<String>,
}

impl Trace {
    pub(crate) fn new(readable: bool) -> Self {
        Self {
            // The offset basis of FNV-1a, whose algorithm is fixed: hashes of other days and machines can be compared.
            hash: 0xcbf2_9ce4_8422_2325,
            lines: readable.then(String::new),
        }
    }

    pub(crate) fn note(&mut self, at: Duration, event: &'static str, facts: &[(&'static str, Fact)]) {
        self.mix(&(at.as_micros() as u64).to_be_bytes());
        self.mix(event.as_bytes());
        for (_, fact) in facts {
            match fact {
                Fact::Number(number) => self.mix(&number.to_be_bytes()),
                Fact::Word(word) => self.mix(word.as_bytes()),
                Fact::Message(id) => self.mix(id.as_uuid().as_bytes()),
            }
        }
        if let Some(lines) = &mut self.lines {
            let _ = write!(lines, "{:>10.3}  {event:<16}", at.as_secs_f64());
            for (name, fact) in facts {
                let _ = write!(lines, " {name}={fact}");
            }
            lines.push('\n');
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn into_lines(self) -> Option<String> {
        self.lines
    }

    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Word(word) => f.write_str(word),
            // The end of an id is the part that differs.
            Self::Message(id) => f.write_str(&id.to_string()[24..]),
        }
    }
}

macro_rules! fact {
    ($($number:ty),+) => { $( impl From<$number> for Fact {
        fn from(number: $number) -> Self {
            Self::Number(number as i64)
        }
    } )+ };
}
fact!(u8, u32, i64, u64, usize, bool);

impl From<&'static str> for Fact {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<MessageId> for Fact {
    fn from(id: MessageId) -> Self {
        Self::Message(id)
    }
}
