//! The provider of scripted recipients (`domain::Script`): what it does in a call follows from the recipient and the completed
//! attempts of the message, and from nothing else: not from other calls, nodes, time or crashes. It carries all channels and never
//! sends anything anywhere.

mod classify;
mod send;

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use domain::{Clock, ProviderName, Region, Script};

use crate::ledger::{LedgerError, LedgerFile};

#[derive(Debug)]
pub struct Scripted {
    name: ProviderName,
    default_region: Option<Region>,
    ledger: Option<LedgerFile>,
    calls: AtomicU64,
    clock: Arc<dyn Clock>,
}

impl Scripted {
    /// `default_region` is the one in which the recipients were read when their messages were accepted. Each call adds a line to
    /// the ledger file, which simulators may share.
    ///
    /// # Errors
    /// When the ledger file cannot be opened.
    pub fn new(
        default_region: Option<Region>,
        ledger: Option<&Path>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LedgerError> {
        Ok(Self {
            name: Script::provider(),
            default_region,
            ledger: ledger.map(LedgerFile::open).transpose()?,
            calls: AtomicU64::new(0),
            clock,
        })
    }
}
