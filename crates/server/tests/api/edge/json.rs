//! JSON, and what is nearly JSON, as text: a value would already be too well-behaved.

use proptest::{option, prelude::*, sample::Index};
use serde_json::Value;

use super::odd_text;

/// Deeper than a body may be, and deeper than a careless parser's stack.
const DEPTHS: [usize; 5] = [2, 127, 128, 129, 20_000];

/// An object to be written: its fields in order, each with the text of its value.
#[derive(Debug, Clone)]
pub struct Document(Vec<(String, String)>);

/// What was done to a valid document.
#[derive(Debug, Clone)]
pub enum Change {
    Remove(Index),
    Replace(Index, String),
    Repeat(Index, String),
    /// An unknown field.
    Add(String),
    Rename(Index),
    Reorder(Index),
}

/// What was done to its text.
#[derive(Debug, Clone)]
pub enum Damage {
    Wrapped(&'static str, &'static str),
    CutOff(Index),
    Inserted(Index, u8),
    Replaced(Vec<u8>),
}

impl Document {
    pub fn of(valid: &Value) -> Self {
        let fields = valid.as_object().unwrap().iter();
        Self(
            fields
                .map(|(name, value)| (name.clone(), value.to_string()))
                .collect(),
        )
    }

    pub fn changed(mut self, changes: &[Change]) -> Self {
        for change in changes {
            self.change(change);
        }
        self
    }

    pub fn text(&self) -> String {
        let fields = self
            .0
            .iter()
            .map(|(name, value)| format!("{}: {value}", Value::from(name.as_str())));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
    }

    fn change(&mut self, change: &Change) {
        let fields = &mut self.0;
        if let Change::Add(value) = change {
            return fields.push(("unknown".to_owned(), value.clone()));
        }
        if fields.is_empty() {
            return;
        }
        let count = fields.len();
        match change {
            Change::Remove(at) => drop(fields.remove(at.index(count))),
            Change::Replace(at, value) => fields[at.index(count)].1.clone_from(value),
            Change::Repeat(at, value) => {
                let name = fields[at.index(count)].0.clone();
                fields.push((name, value.clone()));
            }
            Change::Rename(at) => fields[at.index(count)].0.push('_'),
            Change::Reorder(at) => fields.rotate_left(at.index(count)),
            Change::Add(_) => {}
        }
    }
}

impl Change {
    /// Whether any valid document stays valid, on a route that ignores or refuses unknown fields.
    pub fn is_harmless(&self, ignores_unknown: bool) -> bool {
        match self {
            Self::Reorder(_) => true,
            // Nested as deep as in the document, because the parser bounds the depth.
            Self::Add(value) => {
                ignores_unknown && serde_json::from_str::<Value>(&format!("[{value}]")).is_ok()
            }
            _ => false,
        }
    }

    pub fn adds(&self) -> bool {
        matches!(self, Self::Add(_))
    }
}

impl Damage {
    pub fn done_to(&self, text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        match self {
            Self::Wrapped(before, after) => format!("{before}{text}{after}").into_bytes(),
            Self::CutOff(at) => {
                bytes.truncate(at.index(bytes.len()));
                bytes
            }
            Self::Inserted(at, byte) => {
                bytes.insert(at.index(bytes.len() + 1), *byte);
                bytes
            }
            Self::Replaced(bytes) => bytes.clone(),
        }
    }
}

pub fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        2 => any::<Index>().prop_map(Change::Remove),
        5 => (any::<Index>(), value()).prop_map(|(at, value)| Change::Replace(at, value)),
        1 => (any::<Index>(), value()).prop_map(|(at, value)| Change::Repeat(at, value)),
        2 => value().prop_map(Change::Add),
        1 => any::<Index>().prop_map(Change::Rename),
        1 => any::<Index>().prop_map(Change::Reorder),
    ];
    prop::collection::vec(change, 0..4)
}

pub fn damage() -> impl Strategy<Value = Option<Damage>> {
    let wrapped = prop::sample::select(vec![
        ("[", "]"),
        ("\u{feff}", ""),
        (" \r\n\t", "\n "),
        ("", "{}"),
        ("", "\0"),
        ("{\"a\":", "}"),
    ]);
    option::weighted(
        0.25,
        prop_oneof![
            wrapped.prop_map(|(before, after)| Damage::Wrapped(before, after)),
            any::<Index>().prop_map(Damage::CutOff),
            (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Inserted(at, byte)),
            prop::collection::vec(any::<u8>(), 0..50).prop_map(Damage::Replaced),
        ],
    )
}

/// The text of a value: of every type, extreme, broken, or such as a message has.
fn value() -> impl Strategy<Value = String> {
    let plain = prop::sample::select(vec![
        "null",
        "true",
        "0",
        "-0.0",
        "1e999",
        "-1",
        "123456789012345678901234567890",
        "1.5",
        "NaN",
        "{}",
        "[]",
        "[null]",
        r#""""#,
        r#""\u0000""#,
        r#""\ud800""#,
        r#""\ud83d\ude00""#,
        r#""\udc00\ud800""#,
        r#""\x""#,
        "\"\n\"",
        "\"a",
        r#""sms""#,
        r#""mms""#,
        r#""email""#,
        r#""SMS""#,
        r#""+18045551234""#,
        r#""Acme""#,
        r#""911""#,
        r#""someone@example.com""#,
        r#""Some One <someone@example.com>""#,
        r#"["https://example.com/a.png"]"#,
        r#"["https://example.com/a.png", 7]"#,
        r#"["ftp://example.com/a.png"]"#,
        r#""2026-11-21T10:00:00Z""#,
        r#""9999-12-31T23:59:59Z""#,
        r#""-000001-01-01T00:00:00Z""#,
        r#"{"a": "\ud800"}"#,
        r#"{"a": 1, "a": 2}"#,
    ]);
    let deep = prop::sample::select(&DEPTHS[..])
        .prop_map(|depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    prop_oneof![
        6 => plain.prop_map(str::to_owned),
        3 => odd_text().prop_map(|text| Value::from(text).to_string()),
        1 => deep,
        1 => (0_usize..5_000).prop_map(|length| format!("\"{}\"", "x".repeat(length))),
        1 => (0_usize..13).prop_map(|count| Value::from(vec!["https://example.com/"; count]).to_string()),
    ]
}
