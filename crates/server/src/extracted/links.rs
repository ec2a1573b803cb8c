/// What ends a URL in running text: spaces, quotes, and the punctuation of East Asian text.
fn ends_url(character: char) -> bool {
    character.is_whitespace()
        || character.is_control()
        || matches!(character, '<' | '>' | '"' | '`' | '{' | '}' | '|' | '\\' | '^')
        || matches!(character, '“' | '”' | '„' | '«' | '»' | '…')
        || matches!(character, '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff1f}')
        || matches!(
            character,
            '\u{200b}'..='\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{feff}'
        )
}

/// The URLs of a text and their places, without the punctuation that follows them.
pub(super) fn find(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let start = from + next(text.get(from..)?)?;
            let rest = &text[start..];
            let end = rest.find(ends_url).unwrap_or(rest.len());
            let url = without_punctuation(&rest[..end]);
            // A URL may follow within another one, as a parameter, and belongs to it.
            from = start + end;
            if is_link(url) {
                return Some((start, url));
            }
        }
    })
}

/// Where the next `http:` or `https:` begins.
fn next(text: &str) -> Option<usize> {
    let colons = text.match_indices("://");
    let mut starts = colons.filter_map(|(colon, _)| {
        let scheme = ["https", "http"].into_iter().find(|scheme| {
            let start = colon.checked_sub(scheme.len());
            let before = start.and_then(|start| text.get(start..colon));
            before.is_some_and(|before| before.eq_ignore_ascii_case(scheme))
        })?;
        Some(colon - scheme.len())
    });
    starts.next()
}

/// Whether a text is an `http` URL with a host.
pub(super) fn is_link(text: &str) -> bool {
    let host = text
        .split_once("://")
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"));
    host.is_some_and(|(_, host)| host.starts_with(|first: char| first.is_alphanumeric() || first == '['))
}

/// Cuts off punctuation at the end, and closing brackets that the URL does not open.
fn without_punctuation(url: &str) -> &str {
    let surplus = |opening, closing| {
        let closing = url.matches(closing).count();
        closing.saturating_sub(url.matches::<char>(opening).count())
    };
    let (mut round, mut square) = (surplus('(', ')'), surplus('[', ']'));
    let ends_sentence = |last| ".,;:!?'’*_~-".contains(last);
    url.trim_end_matches(|last| {
        let surplus = match last {
            ')' => &mut round,
            ']' => &mut square,
            _ => return ends_sentence(last),
        };
        let is_cut = *surplus > 0;
        *surplus = surplus.saturating_sub(1);
        is_cut
    })
}
