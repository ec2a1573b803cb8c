//! Claims about one input. A claim is a function that panics if it does not hold. Its expectation is a second implementation
//! of the contract.
//!
//! The fuzz targets include this folder, so it uses only the public interface and no test framework.

pub mod address;
pub mod attachments;
pub mod cursor;
pub mod draft;
pub mod idempotency_key;
pub mod ids;
pub mod snippet;
pub mod timestamp;
