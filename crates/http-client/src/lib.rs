//! An HTTP/1.1 client for URLs that strangers choose.
//!
//! Addresses are checked after the name is resolved, and the connection goes to exactly the checked address: a name that resolves
//! differently the second time gains nothing. Redirects are returned, never followed. Everything is bounded: the time of a call,
//! the answer, its headers, and the connections kept open.

mod client;
mod connector;
mod networks;
mod resolver;
mod retry_after;
mod target;

pub use client::{Answer, Client, ClientError, ClientSettings};
pub use networks::{AllowedNetworks, InvalidNetworks};
pub use resolver::{Resolver, SystemResolver};
pub use retry_after::retry_after;
pub use target::{InvalidUrl, Target};
