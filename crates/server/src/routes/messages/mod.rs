//! `/api/messages`: send, cancel, read, redrive.

pub(crate) mod cancel;
pub(crate) mod read;
pub(crate) mod redrive;
pub(crate) mod send;
pub(crate) mod view;
