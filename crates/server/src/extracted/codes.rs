//! Finds one-time codes by how they are written.

use super::words::{ANSWERS, CUES, CUES_AFTER, CURRENCIES, FILLERS, OTHER_NUMBERS};

/// Digits of a code.
const DIGITS: std::ops::RangeInclusive<usize> = 4..=8;
/// Digits of a phone number, from here on.
const PHONE_DIGITS_MIN: usize = 9;
/// Letters and digits of a code, its hyphens included.
const MIXED: std::ops::RangeInclusive<usize> = 4..=16;
/// How much of the text before a number is looked at, in bytes.
const BEFORE_BYTES: usize = 64;

pub(super) fn find(text: &str) -> Vec<String> {
    let mut codes = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(is_in_word).map(|offset| at + offset) {
        let word_end = text[start..]
            .find(char::is_whitespace)
            .map_or(text.len(), |end| start + end);
        // A chunk of text without a space, from its beginning.
        let chunk_start = text[at..start].rfind(char::is_whitespace).map_or(at, |space| {
            at + space + text[at + space..].chars().next().map_or(0, char::len_utf8)
        });
        if (at == 0 || chunk_start > at) && is_address(&text[chunk_start..word_end]) {
            at = word_end;
            continue;
        }
        let run = Run::read(text, start);
        at = run.end;
        run.codes(text, &mut codes);
    }
    codes
}

/// Chinese, Japanese and Korean text has no spaces around numbers.
fn is_in_word(character: char) -> bool {
    character.is_alphanumeric() && !is_ideograph(character)
}

fn is_ideograph(character: char) -> bool {
    character > '\u{2e80}'
}

/// Whether a chunk of text is a URL, a path below a host, or an email address.
fn is_address(chunk: &str) -> bool {
    let host = |text: &str| text.contains('.') && text.contains(|c: char| c.is_ascii_alphabetic());
    let before_path = chunk.split_once('/').map(|(before, _)| before);
    chunk.contains("://")
        || chunk.starts_with("www.")
        || before_path.is_some_and(host)
        || chunk.split_once('@').is_some_and(|(_, domain)| host(domain))
}

/// Groups of letters and digits, joined by single hyphens; groups of digits also by single spaces or dots.
struct Run {
    start: usize,
    end: usize,
    groups: Vec<(usize, usize)>,
    separators: Vec<char>,
}

impl Run {
    fn read(text: &str, start: usize) -> Self {
        let mut run = Self {
            start,
            end: start,
            groups: Vec::new(),
            separators: Vec::new(),
        };
        let mut next = start;
        loop {
            let rest = &text[next..];
            let length = rest.find(|c| !is_in_word(c)).unwrap_or(rest.len());
            let group = &rest[..length];
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let has_space = run.separators.last().is_some_and(|separator| *separator != '-');
            if length == 0 || (has_space && !digits(group)) {
                run.separators.pop();
                return run;
            }
            run.groups.push((next, next + length));
            run.end = next + length;
            let Some(separator) = rest[length..].chars().next() else {
                return run;
            };
            let joins = match separator {
                '-' | '\u{2010}' | '\u{2011}' => Some('-'),
                ' ' | '\u{a0}' | '.' if digits(group) => Some(if separator == '.' { '.' } else { ' ' }),
                _ => None,
            };
            let Some(joins) = joins else {
                return run;
            };
            run.separators.push(joins);
            next = run.end + separator.len_utf8();
        }
    }

    fn codes(&self, text: &str, codes: &mut Vec<String>) {
        let group = |(start, end): &(usize, usize)| &text[*start..*end];
        let run = &text[self.start..self.end];
        if !run.bytes().any(|byte| byte.is_ascii_digit()) {
            return;
        }
        if let [(start, end)] = self.groups[..] {
            codes.extend(single(text, start, end));
            return;
        }
        let all_digits = self
            .groups
            .iter()
            .all(|part| group(part).bytes().all(|byte| byte.is_ascii_digit()));
        let context = Context::of(text, self.start, self.end);
        if !all_digits {
            match &self.groups[..] {
                // Google's and Facebook's prefix is not typed.
                [prefix, digits] if ["G", "FB", "IG"].contains(&group(prefix)) => {
                    codes.extend(single(text, digits.0, digits.1));
                }
                _ if self.separators.iter().all(|separator| *separator == '-') => {
                    let first = group(&self.groups[0]).len();
                    let even = self.groups.iter().all(|part| group(part).len() == first);
                    codes.extend(mixed(run, &context).filter(|_| even || context.is_cued));
                }
                _ => {}
            }
            return;
        }
        let lengths: Vec<usize> = self.groups.iter().map(|(start, end)| end - start).collect();
        let digits: usize = lengths.iter().sum();
        let spaced = self.separators.iter().all(|separator| *separator == ' ');
        let hyphened = self.separators.iter().all(|separator| *separator == '-');
        let even = lengths.iter().all(|length| *length == lengths[0]);
        let is_years = self.groups.iter().all(|part| is_year(group(part)));
        let is_code = DIGITS.contains(&digits)
            && even
            && !is_years
            && !context.is_other()
            && match lengths[0] {
                1 | 2 => spaced && lengths.len() >= 3 && digits <= 6,
                3 => (spaced || hyphened) && lengths.len() == 2,
                4 => (spaced || hyphened) && lengths.len() == 2,
                _ => false,
            };
        if is_code {
            codes.push(self.groups.iter().map(group).collect());
            return;
        }
        let begins_as_phone = text[..self.start].ends_with(['+', '(']) || run.starts_with('0');
        let is_phone = digits >= PHONE_DIGITS_MIN && (even || begins_as_phone || lengths.len() >= 3);
        if spaced && !is_phone {
            for (start, end) in &self.groups {
                codes.extend(single(text, *start, *end));
            }
        }
    }
}

/// A group that stands alone.
fn single(text: &str, start: usize, end: usize) -> Option<String> {
    let word = &text[start..end];
    let context = Context::of(text, start, end);
    if !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return mixed(word, &context);
    }
    if !DIGITS.contains(&word.len())
        || (!context.is_cued && (is_year(word) || is_day(word)))
        || context.is_other()
    {
        return None;
    }
    Some(word.to_owned())
}

/// Letters with digits are a code only if the text says so, or if they stand alone on their line.
fn mixed(word: &str, context: &Context<'_>) -> Option<String> {
    let plain = word
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let written = plain && digits > 0 && MIXED.contains(&word.len()) && !context.is_in_amount();
    let alone = context.is_alone
        && digits > 1
        && word.len() > 4
        && !word.bytes().any(|byte| byte.is_ascii_lowercase());
    (written && (context.is_cued || alone)).then(|| word.to_owned())
}

/// Years that texts name.
fn is_year(digits: &str) -> bool {
    digits.len() == 4 && (digits.starts_with("19") || digits.starts_with("20"))
}

/// `20261121`
fn is_day(digits: &str) -> bool {
    let Some((year, day)) = digits.split_at_checked(4).filter(|_| digits.len() == 8) else {
        return false;
    };
    let (month, day) = day.split_at(2);
    is_year(year) && ("01"..="12").contains(&month) && ("01"..="31").contains(&day)
}

/// What stands around a number.
struct Context<'a> {
    before: &'a str,
    after: &'a str,
    /// Whether the text calls it a code.
    is_cued: bool,
    /// Whether nothing else is on its line.
    is_alone: bool,
}

impl<'a> Context<'a> {
    fn of(text: &'a str, start: usize, end: usize) -> Self {
        let from = (start.saturating_sub(BEFORE_BYTES)..=start).find(|at| text.is_char_boundary(*at));
        let to = (end..=(end + BEFORE_BYTES).min(text.len()))
            .rev()
            .find(|at| text.is_char_boundary(*at));
        let before = &text[from.unwrap_or(start)..start];
        let after = &text[end..to.unwrap_or(end)];
        let line_before = before.rsplit('\n').next().unwrap_or_default();
        let line_after = after.split('\n').next().unwrap_or_default();
        let blank = |text: &str| !text.contains(char::is_alphanumeric);
        Self {
            before,
            after,
            is_cued: is_cue(before) || is_cue_after(after),
            is_alone: blank(line_before) && blank(line_after),
        }
    }

    /// Whether it is part of an amount, a date, a time or a longer number.
    fn is_in_amount(&self) -> bool {
        let digit = |text: Option<char>| text.is_some_and(|c| c.is_ascii_digit());
        let mut back = self.before.chars().rev();
        let mut next = self.after.chars();
        let joined_before = match back.next() {
            Some('.' | ',' | '/' | ':' | '\'' | '-') => digit(back.next()),
            Some('+') => true,
            _ => false,
        };
        let joined_after = match next.next() {
            Some('.' | ',' | '/' | ':' | '\'' | '-') => digit(next.next()),
            Some('%' | '°') => true,
            _ => false,
        };
        let currency = |character: char| "$€£¥₹₦₽₩₺".contains(character);
        let priced = self.before.trim_end().ends_with(currency)
            || self
                .after
                .trim_start_matches([' ', '\u{a0}'])
                .starts_with(currency)
            || CURRENCIES.contains(&last_word(self.before).as_str())
            || CURRENCIES.contains(&first_word(self.after).as_str());
        joined_before || joined_after || priced
    }

    /// Whether it is another kind of number than a code.
    fn is_other(&self) -> bool {
        if self.is_in_amount() || self.is_masked() {
            return true;
        }
        let word = last_word(self.before);
        if self.is_cued {
            return false;
        }
        let before = self.before.trim_end().trim_end_matches([':', '.', '#']);
        let raw = before
            .rsplit(|c: char| !c.is_alphanumeric())
            .next()
            .unwrap_or_default();
        // `San Francisco, CA 94103`
        let is_state = raw.len() == 2
            && raw.bytes().all(|byte| byte.is_ascii_uppercase())
            && before[..before.len() - 2].trim_end().ends_with(',');
        let is_answered = word == "to" && {
            let lower = self.before.to_lowercase();
            ANSWERS.iter().any(|answer| lower.contains(answer))
        };
        is_state || is_answered || OTHER_NUMBERS.contains(&word.as_str())
    }

    /// `**1234`, the end of a card's number; `**123456**` is bold.
    fn is_masked(&self) -> bool {
        self.before.ends_with("**") && !self.after.starts_with('*') || self.before.ends_with(['•', '…'])
    }
}

fn last_word(text: &str) -> String {
    let text = text.trim_end_matches(|c: char| c.is_whitespace() || ".:#".contains(c));
    let word = text
        .rsplit(|c: char| c.is_whitespace() || ",;:!?()".contains(c))
        .next();
    word.unwrap_or_default().to_lowercase()
}

fn first_word(text: &str) -> String {
    let text = text.trim_start_matches([' ', '\u{a0}']);
    let word = text.split(|c: char| !c.is_alphanumeric()).next();
    word.unwrap_or_default().to_lowercase()
}

/// Whether a text ends with a word for a code: `your code is: `.
fn is_cue(before: &str) -> bool {
    let lower = before.to_lowercase();
    let mut text = lower.as_str();
    // A sentence that ends before the number says nothing about it.
    loop {
        text = text.trim_end_matches(|c: char| c.is_whitespace() || ":=-–—#*\"'“”‘’([<>»«：`".contains(c));
        if ends_with_word(text, &CUES) {
            return true;
        }
        let filler = FILLERS.iter().find(|filler| ends_with_word(text, &[filler]));
        match filler {
            Some(filler) => text = &text[..text.len() - filler.len()],
            None => return false,
        }
    }
}

fn ends_with_word(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| {
        let before = text.strip_suffix(word).map(|before| before.chars().next_back());
        let needs_no_space = word.starts_with(is_ideograph);
        before.is_some_and(|last| needs_no_space || last.is_none_or(|last| !last.is_alphanumeric()))
    })
}

fn is_cue_after(after: &str) -> bool {
    let after = after.trim_start_matches(|c: char| c.is_whitespace() || "*\"'”’)]".contains(c));
    let lower = after.to_lowercase();
    CUES_AFTER.iter().any(|cue| lower.starts_with(cue))
}
