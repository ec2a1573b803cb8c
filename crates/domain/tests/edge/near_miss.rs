use proptest::{prelude::*, sample::Index};

/// Characters that are special in some grammar, resemble one, or break careless code.
const ODD: &[char] = &[
    '+',
    '-',
    '.',
    '(',
    ')',
    ' ',
    '@',
    '"',
    '\\',
    '<',
    '>',
    '[',
    ']',
    '/',
    ':',
    '%',
    '&',
    '_',
    '0',
    '9',
    'a',
    'Z',
    ',',
    '\0',
    '\t',
    '\n',
    '\r',
    '\u{7f}',
    '\u{85}',
    '\u{a0}',
    '\u{ad}',
    '\u{130}',
    '\u{3a3}',
    '\u{212a}',
    '\u{2474}',
    '\u{3002}',
    '\u{200d}',
    '\u{202e}',
    '\u{feff}',
    '\u{ff0b}',
    '\u{ff10}',
    '\u{fdfa}',
    '\u{1f44d}',
];

/// Random text, special characters, and very long text.
pub fn any_text() -> impl Strategy<Value = String> {
    let odd = prop::collection::vec(character(), 0..20);
    prop_oneof![
        4 => "(?s).{0,30}",
        4 => odd.prop_map(String::from_iter),
        1 => (character(), 0_usize..3_000).prop_map(|(character, times)| String::from(character).repeat(times)),
    ]
}

/// A valid text with one change: a character added, removed or replaced, a part repeated or cut off.
pub fn near(valid: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (valid, any::<Index>(), any::<Index>(), character(), 0_u8..6)
        .prop_map(|(text, at, until, character, change)| changed(&text, &at, &until, character, change))
}

fn character() -> impl Strategy<Value = char> {
    prop_oneof![prop::sample::select(ODD), any::<char>()]
}

fn changed(text: &str, at: &Index, until: &Index, character: char, change: u8) -> String {
    let letters: Vec<char> = text.chars().collect();
    let at = at.index(letters.len() + 1);
    let until = at + until.index(letters.len() + 1 - at);
    let next = letters.len().min(at + 1);
    let (before, after) = letters.split_at(at);
    let middle: Vec<char> = match change {
        0 => [&[character], after].concat(),
        1 => letters[next..].to_vec(),
        2 => [&[character], &letters[next..]].concat(),
        3 => [&letters[at..until], after].concat(),
        4 => Vec::new(),
        _ => return after.iter().collect(),
    };
    before.iter().chain(&middle).collect()
}
