use std::fmt;

/// What keeps the store from taking a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// It cannot be reached, or shuts down.
    Away,
    /// It did not answer in time.
    Slow,
    /// Other requests keep it, or its connections, busy.
    Busy,
    ReadOnly,
    /// Its disk is full.
    Full,
    /// Another program or transaction holds a lock.
    Locked,
}

/// An outage, and the database's own words for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    pub outage: Outage,
    pub reason: String,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
