use std::fmt;

use serde::Serialize;
use thiserror::Error;
use url::Url;

/// The text of a message, kept to the byte, without NUL, which PostgreSQL cannot store.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Body(Box<str>);

/// One line without NUL. Only emails have a subject.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Subject(Box<str>);

/// Absolute http or https URLs of at most [`Attachments::URL_CHARS_MAX`] characters, as given. They are stored and passed on,
/// never fetched.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Attachments(Vec<String>);

/// Why a text is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TextError {
    #[error("remove the NUL character: it cannot be stored")]
    Nul,
    #[error("remove the line break: a subject is one line")]
    LineBreak,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AttachmentsError {
    #[error("at most {max} attachments are allowed, {given} were given")]
    TooMany { given: usize, max: usize },
    #[error("use an absolute http or https URL of at most 2048 characters")]
    NotAUrl {
        /// Counted from 0.
        index: usize,
    },
}

impl Body {
    /// # Errors
    /// When the text holds a NUL character.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, TextError> {
        without_nul(text.into()).map(Self)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Subject {
    /// # Errors
    /// When the text holds a NUL character or a line break, which would begin another header of an email.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, TextError> {
        let text = without_nul(text.into())?;
        if text.contains(['\r', '\n']) {
            return Err(TextError::LineBreak);
        }
        Ok(Self(text))
    }

    /// Joins the lines of a subject that was folded (RFC 5322, 2.2.3): each line break becomes one space, together with
    /// the white space after it.
    #[must_use]
    pub fn unfold(text: &str) -> String {
        let mut lines = text.split(['\r', '\n']);
        let mut unfolded = lines.next().unwrap_or_default().to_owned();
        let rest = lines.map(|line| line.trim_start_matches([' ', '\t']));
        for line in rest.filter(|line| !line.is_empty()) {
            unfolded.push(' ');
            unfolded.push_str(line);
        }
        unfolded
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Attachments {
    pub const URL_CHARS_MAX: usize = 2_048;

    /// # Errors
    /// When there are more than `count_max`, or one is not such a URL.
    pub fn new(urls: Vec<String>, count_max: usize) -> Result<Self, AttachmentsError> {
        if urls.len() > count_max {
            return Err(AttachmentsError::TooMany {
                given: urls.len(),
                max: count_max,
            });
        }
        match urls.iter().position(|url| !Self::is_taken(url)) {
            Some(index) => Err(AttachmentsError::NotAUrl { index }),
            None => Ok(Self(urls)),
        }
    }

    /// Whether a text is a URL that an attachment may have.
    #[must_use]
    pub fn is_taken(url: &str) -> bool {
        is_absolute_http_url(url)
    }

    /// For URLs from a store: they were checked when they were stored.
    #[must_use]
    pub fn from_stored(urls: Vec<String>) -> Self {
        Self(urls)
    }

    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn without_nul(text: Box<str>) -> Result<Box<str>, TextError> {
    if text.contains('\0') {
        Err(TextError::Nul)
    } else {
        Ok(text)
    }
}

fn is_absolute_http_url(text: &str) -> bool {
    // The URL standard lets parsers drop tabs and newlines, but the text is kept as given.
    let plain = !text.contains(|character: char| character.is_control() || character.is_whitespace());
    // The parser also takes `http:host` and `http:///host`; other parsers do not.
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    let explicit = ["http://", "https://"].iter().any(|scheme| {
        lower.starts_with(scheme) && !matches!(text.as_bytes().get(scheme.len()), None | Some(b'/' | b'\\'))
    });
    plain
        && explicit
        && text.chars().count() <= Attachments::URL_CHARS_MAX
        && Url::parse(text).is_ok_and(|url| url.has_host())
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.0.len())
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({} bytes)", self.0.len())
    }
}

impl fmt::Debug for Attachments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attachments({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_to_the_byte_and_masked_in_debug() {
        let html = "<p>caf\u{e9} \r\n\t\u{1f44d}</p> ";
        let body = Body::new(html).unwrap();
        assert_eq!(body.as_str(), html);
        assert_eq!(format!("{body:?}"), format!("Body({} bytes)", html.len()));
        assert_eq!(Body::new("a\0b"), Err(TextError::Nul));
        assert_eq!(Subject::new("\0"), Err(TextError::Nul));
    }

    #[test]
    fn a_subject_is_one_line() {
        for text in ["a\r\nBcc: b@example.com", "a\nb", "a\rb", "a\r\n b", "\n"] {
            assert_eq!(Subject::new(text), Err(TextError::LineBreak), "{text:?}");
        }
        for (folded, unfolded) in [
            ("Your order\r\n is on its way", "Your order is on its way"),
            ("a\r\n\t b", "a b"),
            ("a\r\nb", "a b"),
            ("a\nb\rc", "a b c"),
            ("a\r\n\r\n b\r\n", "a b"),
            ("a  b", "a  b"),
            ("\r\n a", " a"),
            ("", ""),
        ] {
            assert_eq!(Subject::unfold(folded), unfolded, "{folded:?}");
            assert!(Subject::new(unfolded).is_ok());
        }
    }

    #[test]
    fn attachments_are_absolute_http_urls() {
        let good = [
            "https://example.com/a.png",
            "HTTP://127.0.0.1:80/?q=1#x",
            "http://[::1]/",
        ];
        for url in good {
            assert!(Attachments::new(vec![url.into()], 10).is_ok(), "{url}");
        }
        let long = format!("https://example.com/{}", "a".repeat(2_048));
        let bad = [
            "",
            "a.png",
            "//example.com/a",
            "ftp://example.com/a",
            "http://",
            "http:a",
            "http:///a",
            "https://a b/",
            "https://exa\tmple.com",
            &long,
        ];
        for url in bad {
            let given = vec!["https://example.com/".to_owned(), url.to_owned()];
            assert_eq!(
                Attachments::new(given, 10),
                Err(AttachmentsError::NotAUrl { index: 1 }),
                "{url}"
            );
        }
    }

    #[test]
    fn attachments_are_bounded_in_number() {
        let urls = vec!["https://example.com/".to_owned(); 3];
        assert_eq!(
            Attachments::new(urls, 2),
            Err(AttachmentsError::TooMany { given: 3, max: 2 })
        );
    }
}
