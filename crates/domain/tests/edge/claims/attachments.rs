use trunkline_domain::{Attachments, AttachmentsError};

/// A text is an absolute http URL, or refused.
pub fn of_text(text: &str) {
    let found = Attachments::new(vec![text.to_owned()], 1);
    match &found {
        Ok(attachments) => {
            assert_eq!(attachments.as_slice(), [text], "it is kept as given");
            assert!(text.chars().count() <= 2_048);
            let odd = |character: char| character.is_control() || character.is_whitespace();
            assert!(!text.contains(odd), "{text:?} has what no URL has");
            let (scheme, rest) = text.split_once("://").expect("it is absolute");
            assert!(scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"));
            let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            assert!(
                !host.is_empty() && !host.starts_with(':'),
                "{text:?} names no host"
            );
        }
        Err(error) => assert_eq!(*error, AttachmentsError::NotAUrl { index: 0 }),
    }
    let none_allowed = Attachments::new(vec![text.to_owned()], 0);
    assert_eq!(none_allowed, Err(AttachmentsError::TooMany { given: 1, max: 0 }));
}
