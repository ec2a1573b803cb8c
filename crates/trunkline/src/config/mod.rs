//! Settings: one table says what there is, and everything else follows from it: the file, the environment, the flags, the
//! help, the effective values, and the documentation.

#[cfg(test)]
mod arrivals;
#[cfg(test)]
mod claims;
pub(crate) mod flags;
#[cfg(test)]
mod properties;
mod resolved;
mod settings;
mod values;

pub(crate) use resolved::Resolved;
pub(crate) use settings::{SETTINGS, Setting};
pub(crate) use values::{Config, LogFormat};
