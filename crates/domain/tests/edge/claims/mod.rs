//! What must hold of one input, whatever it is. Each claim is a function that panics where it does not hold; what it
//! expects is written from the contract, in another way than the code it judges.
//!
//! This folder is also a part of the fuzz targets, so it knows only the public interface and no test framework.

pub mod address;
pub mod attachments;
pub mod cursor;
pub mod draft;
pub mod idempotency_key;
pub mod ids;
pub mod snippet;
pub mod timestamp;
