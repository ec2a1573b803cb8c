use std::io::{self, BufRead, Read};

/// Reads lines of bounded length. It never holds more of a line than the bound.
pub(super) struct Lines<R> {
    input: R,
    bytes_max: usize,
    buffer: Vec<u8>,
    number: u64,
    bytes: u64,
}

/// A line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RawLine<'a> {
    Text(&'a [u8]),
    Blank,
    TooLong,
}

/// Some programs put it in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl<R: BufRead> Lines<R> {
    pub(super) fn of(input: R, bytes_max: usize) -> Self {
        Self {
            input,
            bytes_max,
            buffer: Vec::new(),
            number: 0,
            bytes: 0,
        }
    }

    /// Of the line that was read last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn next(&mut self) -> io::Result<Option<RawLine<'_>>> {
        self.buffer.clear();
        // One byte more than the bound, and the line end.
        let limit = self.bytes_max as u64 + 2;
        let read = self
            .input
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.bytes += read as u64;
        let ended = self.buffer.ends_with(b"\n");
        let line = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        if line.len() > self.bytes_max {
            if !ended {
                self.bytes += skip_line(&mut self.input)?;
            }
            return Ok(Some(RawLine::TooLong));
        }
        let first = self.number == 1;
        let line = line
            .strip_prefix(BYTE_ORDER_MARK)
            .filter(|_| first)
            .unwrap_or(line);
        let line = line.trim_ascii();
        Ok(Some(match line {
            [] => RawLine::Blank,
            _ => RawLine::Text(line),
        }))
    }
}

/// Reads to the end of the line. Returns the number of bytes.
fn skip_line(input: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let available = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            available => available?,
        };
        let end = available.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(available.len(), |end| end + 1);
        input.consume(used);
        skipped += used as u64;
        if end.is_some() || used == 0 {
            return Ok(skipped);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// The lines of a text, read through a buffer that is smaller than a line.
    fn lines(text: &str, bytes_max: usize) -> Vec<String> {
        let mut lines = Lines::of(BufReader::with_capacity(3, text.as_bytes()), bytes_max);
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push(match line {
                RawLine::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                RawLine::Blank => "(blank)".to_owned(),
                RawLine::TooLong => "(too long)".to_owned(),
            });
            assert_eq!(lines.number(), found.len() as u64);
        }
        assert_eq!(lines.bytes(), text.len() as u64);
        found
    }

    #[test]
    fn line_ends_and_a_byte_order_mark_are_removed() {
        assert_eq!(lines("ab\r\n\n  \ncd", 10), ["ab", "(blank)", "(blank)", "cd"]);
        assert_eq!(lines("\u{feff}ab\n\u{feff}cd\n", 10), ["ab", "\u{feff}cd"]);
        assert_eq!(lines("", 10), [""; 0]);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped() {
        for length in [11, 12, 13, 14, 1_000] {
            let long = "x".repeat(length);
            assert_eq!(
                lines(&format!("a\n{long}\nb"), 10),
                ["a", "(too long)", "b"],
                "{length}"
            );
            assert_eq!(lines(&long, 10), ["(too long)"], "{length}");
        }
        let longest = "x".repeat(10);
        assert_eq!(lines(&format!("{longest}\n{longest}"), 10), [longest.as_str(); 2]);
    }
}
