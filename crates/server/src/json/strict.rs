//! Deserializes a type, and notes its unknown fields and the place of the first value that does not fit.
//!
//! It does not see the fields of types with `#[serde(flatten)]` or `untagged`: strict types do without these.

use std::{borrow::Cow, cell::RefCell, fmt};

use domain::FieldError;
use serde::de::{
    DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor, value::CowStrDeserializer,
};

use crate::problem::unknown_name;

/// Unknown fields reported at most.
const UNKNOWN_MAX: usize = 20;

#[derive(Default)]
pub(super) struct Findings {
    pub(super) unknown: Vec<FieldError>,
    /// A JSON pointer to the value that does not fit.
    pub(super) failed_at: String,
}

/// A name, escaped for a JSON pointer (RFC 6901, section 3).
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

type Fields = &'static [&'static str];

/// The path of a value from the root of the document.
enum PathStep<'a> {
    Root,
    Field(&'a PathStep<'a>, &'a str),
    Item(&'a PathStep<'a>, usize),
}

/// A deserializer, a visitor or a seed, and its place in the document.
struct Placed<'a, T> {
    inner: T,
    place: &'a PathStep<'a>,
    /// The fields of the type that is read; `None` for a map, which takes any name.
    fields: Option<Fields>,
    findings: &'a RefCell<Findings>,
}

pub(super) fn read<'de, T: serde::Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> (Result<T, D::Error>, Findings) {
    let findings = RefCell::default();
    let result = T::deserialize(Placed::at(&PathStep::Root, deserializer, &findings));
    (result, findings.into_inner())
}

impl PathStep<'_> {
    /// A JSON pointer (RFC 6901).
    fn pointer(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Field(parent, name) => {
                format!("{}/{}", parent.pointer(), escaped(name))
            }
            Self::Item(parent, index) => format!("{}/{index}", parent.pointer()),
        }
    }

    /// Keeps the innermost place: an error passes every level on its way to the root.
    fn note_failure(&self, findings: &RefCell<Findings>) {
        let mut findings = findings.borrow_mut();
        if findings.failed_at.is_empty() {
            findings.failed_at = self.pointer();
        }
    }
}

impl<'a, T> Placed<'a, T> {
    fn at(place: &'a PathStep<'a>, inner: T, findings: &'a RefCell<Findings>) -> Self {
        Self {
            inner,
            place,
            fields: None,
            findings,
        }
    }

    fn around<U>(&self, inner: U, fields: Option<Fields>) -> Placed<'a, U> {
        Placed {
            inner,
            place: self.place,
            fields,
            findings: self.findings,
        }
    }

    fn check_name(&self, name: &str) {
        let mut findings = self.findings.borrow_mut();
        match self.fields {
            Some(fields) if !fields.contains(&name) && findings.unknown.len() < UNKNOWN_MAX => {
                let (name, detail) = unknown_name(name, fields.iter().copied());
                let pointer = PathStep::Field(self.place, &name).pointer();
                findings.unknown.push(FieldError::new(pointer, detail));
            }
            _ => {}
        }
    }
}

/// Values that contain no others, or whose contents are all kept.
macro_rules! forward {
    ($($method:ident)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        })+
    };
}

/// Values that contain others.
macro_rules! wrap {
    ($($method:ident($($argument:ident: $type:ty),*) $fields:expr;)+) => {
        $(fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.around(visitor, $fields);
            self.inner.$method($($argument,)* visitor)
        })+
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Placed<'_, D> {
    type Error = D::Error;

    forward! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_unit deserialize_identifier deserialize_ignored_any
    }

    wrap! {
        deserialize_option() None;
        deserialize_seq() None;
        deserialize_map() None;
        deserialize_tuple(len: usize) None;
        deserialize_tuple_struct(name: &'static str, len: usize) None;
        deserialize_unit_struct(name: &'static str) None;
        deserialize_newtype_struct(name: &'static str) None;
        deserialize_struct(name: &'static str, fields: Fields) Some(fields);
        deserialize_enum(name: &'static str, variants: Fields) None;
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Placed<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer = self.around(deserializer, None);
        self.inner.visit_some(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer = self.around(deserializer, None);
        self.inner.visit_newtype_struct(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        let items = Items {
            placed: self.around(items, None),
            index: 0,
        };
        self.inner.visit_seq(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        let members = Members {
            placed: self.around(members, self.fields),
            name: Cow::Borrowed(""),
        };
        self.inner.visit_map(members)
    }

    fn visit_enum<A: serde::de::EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(variant)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Placed<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let deserializer = self.around(deserializer, None);
        self.inner.deserialize(deserializer)
    }
}

struct Items<'a, A> {
    placed: Placed<'a, A>,
    index: usize,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Items<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let place = PathStep::Item(self.placed.place, self.index);
        self.index += 1;
        let findings = self.placed.findings;
        let item = self
            .placed
            .inner
            .next_element_seed(Placed::at(&place, seed, findings));
        item.inspect_err(|_| place.note_failure(findings))
    }

    fn size_hint(&self) -> Option<usize> {
        self.placed.inner.size_hint()
    }
}

struct Members<'a, 'de, A> {
    placed: Placed<'a, A>,
    /// The member whose value is read next.
    name: Cow<'de, str>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<'_, 'de, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let Some(name) = self.placed.inner.next_key_seed(Name)? else {
            return Ok(None);
        };
        self.placed.check_name(&name);
        self.name = name.clone();
        let name: CowStrDeserializer<'_, A::Error> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let place = PathStep::Field(self.placed.place, &self.name);
        let findings = self.placed.findings;
        let value = self
            .placed
            .inner
            .next_value_seed(Placed::at(&place, seed, findings));
        value.inspect_err(|_| place.note_failure(findings))
    }
}

/// Reads the name of a member, borrowed unless it has escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}
