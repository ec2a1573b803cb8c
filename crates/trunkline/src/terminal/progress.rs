use std::io::{self, IsTerminal, Write};

use super::grouped;

/// Characters of a full bar.
const BAR_CHARS: u64 = 30;

/// A progress bar on standard error, shown on terminals only and erased at the end.
#[derive(Debug)]
pub(crate) struct ProgressBar {
    what: &'static str,
    shown: bool,
    last: String,
}

impl ProgressBar {
    pub(crate) fn of(what: &'static str) -> Self {
        Self {
            what,
            shown: io::stderr().is_terminal(),
            last: String::new(),
        }
    }

    /// `done` is in the unit of `total`: bytes, for example. Without a `total`, only `messages` is shown.
    pub(crate) fn show(&mut self, done: u64, total: Option<u64>, messages: u64) {
        if !self.shown {
            return;
        }
        let line = line(self.what, done, total, messages);
        if line != self.last {
            self.draw(&line);
            self.last = line;
        }
    }

    /// Erases the bar, so that another line can be printed.
    pub(crate) fn clear(&mut self) {
        if self.shown && !self.last.is_empty() {
            self.draw("");
            self.last.clear();
        }
    }

    fn draw(&self, line: &str) {
        // A bar that cannot be drawn changes nothing.
        let _ = write!(io::stderr(), "\r\u{1b}[2K{line}");
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(what: &str, done: u64, total: Option<u64>, messages: u64) -> String {
    let messages = grouped(messages);
    let Some(total) = total.filter(|total| *total > 0) else {
        return format!("{what}  {messages} messages");
    };
    let done = done.min(total);
    let share = |of: u64| u64::try_from(u128::from(of) * u128::from(done) / u128::from(total)).unwrap_or(of);
    let full: String = (0..BAR_CHARS)
        .map(|place| if place < share(BAR_CHARS) { '#' } else { '.' })
        .collect();
    format!("{what}  [{full}] {:3} %  {messages} messages", share(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_and_never_overflows() {
        assert_eq!(
            line("importing", 0, Some(9), 0),
            format!("importing  [{}]   0 %  0 messages", ".".repeat(30))
        );
        assert_eq!(
            line("importing", 5, Some(10), 1_500),
            format!(
                "importing  [{}{}]  50 %  1,500 messages",
                "#".repeat(15),
                ".".repeat(15)
            )
        );
        assert!(line("importing", 11, Some(10), 9).contains("] 100 %"));
        assert!(line("importing", u64::MAX, Some(u64::MAX), 9).contains("] 100 %"));
        assert_eq!(line("importing", 7, None, 9), "importing  9 messages");
        assert_eq!(line("importing", 0, Some(0), 0), "importing  0 messages");
    }
}
