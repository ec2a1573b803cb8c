//! Output of the commands: text that tolerates a closed pipe, colour on terminals, tables, progress.

mod progress;
mod table;

use std::{
    env,
    ffi::OsStr,
    io::{self, ErrorKind, IsTerminal, Write},
};

use serde::Serialize;

pub(crate) use progress::ProgressBar;
pub(crate) use table::Table;

/// Writes to standard output. A closed pipe, as after `head`, is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes a line of JSON to standard output.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string(value)?))
}

/// Colours text on a terminal, unless NO_COLOR is set (<https://no-color.org>).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    pub(crate) fn on_stdout() -> Self {
        Self::wanted(env::var_os("NO_COLOR").as_deref(), io::stdout().is_terminal())
    }

    fn wanted(no_color: Option<&OsStr>, terminal: bool) -> Self {
        Self(terminal && no_color.is_none_or(OsStr::is_empty))
    }

    #[cfg(test)]
    pub(crate) const NONE: Self = Self(false);

    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(crate) fn unsure(self, text: &str) -> String {
        self.with("33", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Text on one line, without control characters and characters that change the writing direction: received text must not
/// command the terminal.
pub(crate) fn harmless(text: &str) -> String {
    let unsafe_in_terminal = |character: char| {
        character.is_control()
            || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|character| {
            if unsafe_in_terminal(character) {
                ' '
            } else {
                character
            }
        })
        .collect()
}

/// A count with thousands separators: `1,234`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped() {
        let shown = [0, 7, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn a_message_cannot_command_the_terminal() {
        assert_eq!(
            harmless("a\u{1b}[2Jb\nc\u{9b}d\u{202e}e 👍🏽 é"),
            "a [2Jb c d e 👍🏽 é"
        );
    }

    #[test]
    fn no_colour_without_a_terminal_or_with_no_color() {
        let painted = |no_color: Option<&str>, terminal| {
            let paint = Paint::wanted(no_color.map(OsStr::new), terminal);
            paint.bad("x") != "x"
        };
        assert!(painted(None, true) && painted(Some(""), true));
        assert!(!painted(None, false) && !painted(Some("1"), true) && !painted(Some("1"), false));
        assert_eq!(Paint(true).bad("x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
