use thiserror::Error;

/// Declares an enum and the word of each variant in JSON, in the databases and in metrics.
macro_rules! vocabulary {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $text:literal, )+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name { $( $(#[$variant_meta])* $variant, )+ }

        impl $name {
            /// In the order of the documentation.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )+];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text, )+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::UnknownWord;

            fn from_str(text: &str) -> Result<Self, crate::UnknownWord> {
                match text {
                    $( $text => Ok(Self::$variant), )+
                    _ => Err(crate::UnknownWord(&[$( $text, )+])),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

pub(crate) use vocabulary;

/// A word that the enum does not have. The message lists those it has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("use one of: {}", .0.join(", "))]
pub struct UnknownWord(pub(crate) &'static [&'static str]);
