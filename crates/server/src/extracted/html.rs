//! HTML as text. It is no parser for pages: it finds what a reader sees and can click, in time linear in the input.

use super::links::is_link;

pub(super) struct Page {
    pub(super) text: String,
    /// Targets of links and forms, with their places in the text.
    pub(super) links: Vec<(usize, String)>,
}

/// Tags within a word: digits of a code often have one each.
const INLINE: [&str; 12] = [
    "b", "strong", "i", "em", "u", "span", "font", "wbr", "mark", "small", "big", "o:p",
];
/// Attributes that lead somewhere when they are clicked.
const CLICKED: [&str; 3] = ["href", "action", "formaction"];
/// Elements whose content is not shown.
const HIDDEN: [&str; 4] = ["style", "script", "title", "noscript"];
/// Elements whose `href` is not clicked.
const NOT_CLICKED: [&str; 2] = ["link", "base"];

/// `None` for a text without a tag.
pub(super) fn flatten(html: &str) -> Option<Page> {
    let (mut text, mut links) = (String::with_capacity(html.len()), Vec::new());
    let mut rest = html;
    let mut has_tags = false;
    while let Some(at) = rest.find('<') {
        push_decoded(&mut text, &rest[..at]);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            has_tags = true;
            continue;
        }
        if !begins_tag(rest) {
            text.push('<');
            rest = &rest[1..];
            continue;
        }
        // A tag that does not end is shown as it is.
        let Some((tag, after)) = Tag::read(rest) else {
            break;
        };
        has_tags = true;
        rest = after;
        if !tag.is_inline() {
            text.push('\n');
        }
        if !NOT_CLICKED.contains(&tag.name.as_str()) {
            links.extend(tag.targets().map(|target| (text.len(), target)));
        }
        if HIDDEN.contains(&tag.name.as_str()) && !tag.is_end {
            rest = after_end_of(&tag.name, rest);
        }
    }
    push_decoded(&mut text, rest);
    has_tags.then_some(Page { text, links })
}

fn after_end_of<'a>(name: &str, html: &'a str) -> &'a str {
    let ends = html.match_indices("</");
    let end = ends.map(|(at, _)| &html[at..]).find(|end| {
        let named = end.get(2..2 + name.len());
        named.is_some_and(|named| named.eq_ignore_ascii_case(name))
    });
    end.unwrap_or("")
}

/// `<https://…>` is none.
fn begins_tag(html: &str) -> bool {
    let name = html.trim_start_matches('<').trim_start_matches(['/', '!', '?']);
    let end = name
        .find(|character| !is_in_name(character))
        .unwrap_or(name.len());
    let (name, after) = name.split_at(end);
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && !name.ends_with(':')
        && after.starts_with(|next: char| next.is_whitespace() || "/>".contains(next))
}

fn is_in_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || ":-".contains(character)
}

struct Tag<'a> {
    /// In lower case.
    name: String,
    is_end: bool,
    attributes: Vec<(&'a str, &'a str)>,
}

impl<'a> Tag<'a> {
    /// Reads the tag at the beginning, and what follows it. `None` if it does not end.
    fn read(html: &'a str) -> Option<(Self, &'a str)> {
        let is_end = html.starts_with("</");
        let named = html.strip_prefix('<')?.trim_start_matches(['/', '!', '?']);
        let (name, mut rest) = named.split_at(named.find(|character| !is_in_name(character))?);
        let mut attributes = Vec::new();
        loop {
            rest = rest.trim_start_matches(|character: char| character.is_whitespace() || character == '/');
            if let Some(after) = rest.strip_prefix('>') {
                let name = name.to_ascii_lowercase();
                return Some((
                    Self {
                        name,
                        is_end,
                        attributes,
                    },
                    after,
                ));
            }
            let end = rest
                .char_indices()
                .find(|(at, c)| *at > 0 && (c.is_whitespace() || "=>/".contains(*c)))?
                .0;
            let (name, after) = rest.split_at(end);
            let value = after.trim_start().strip_prefix('=').map(str::trim_start);
            let (value, after) = match value {
                None => ("", after),
                Some(value) => match value.chars().next()? {
                    quote @ ('"' | '\'') => value[1..].split_once(quote)?,
                    _ => value.split_at(value.find(|c: char| c.is_whitespace() || c == '>')?),
                },
            };
            attributes.push((name, value));
            rest = after;
        }
    }

    fn is_inline(&self) -> bool {
        INLINE.contains(&self.name.as_str())
    }

    fn targets(&self) -> impl Iterator<Item = String> {
        let clicked = self
            .attributes
            .iter()
            .filter(|(name, _)| CLICKED.iter().any(|clicked| name.eq_ignore_ascii_case(clicked)));
        let targets = clicked.map(|(_, value)| {
            let mut target = String::new();
            push_decoded(&mut target, value.trim());
            target
        });
        targets.filter(|target| is_link(target) && !target.contains(char::is_whitespace))
    }
}

/// The longest entity that is decoded, `&` and `;` not counted.
const ENTITY_BYTES_MAX: usize = 8;

/// Appends a text with its entities decoded.
fn push_decoded(text: &mut String, html: &str) {
    let mut rest = html;
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest
            .bytes()
            .take(ENTITY_BYTES_MAX + 1)
            .position(|byte| byte == b';');
        match end.and_then(|end| Some((decoded(&rest[..end])?, end))) {
            Some((character, end)) => {
                text.extend(character);
                rest = &rest[end + 1..];
            }
            None => text.push('&'),
        }
    }
    text.push_str(rest);
}

/// The character of an entity, `Some(None)` for one that is not seen, and `None` for an unknown name.
fn decoded(name: &str) -> Option<Option<char>> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return char::from_u32(code.ok()?).map(Some);
    }
    Some(Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "ndash" => '–',
        "mdash" => '—',
        "hellip" => '…',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        "laquo" => '«',
        "raquo" => '»',
        "pound" => '£',
        "euro" => '€',
        "yen" => '¥',
        "colon" => ':',
        "sol" => '/',
        "equals" => '=',
        "num" => '#',
        "zwnj" | "zwj" | "shy" => return Some(None),
        _ => return None,
    }))
}
