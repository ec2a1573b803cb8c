//! `/api/messages`: send, read, redrive.

pub(crate) mod read;
pub(crate) mod redrive;
pub(crate) mod send;
pub(crate) mod view;
