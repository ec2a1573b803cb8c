//! Sending messages, and what becomes of them.

mod cancel;
mod filters;
mod held;
mod list;
mod redrive;
mod refused;
mod schedule;
mod send;
mod wait;

use domain::Timestamp;
use serde_json::Value;

use crate::world::mms;

fn picture() -> Value {
    mms("", &["https://cdn.example.com/a.jpg"])
}

fn instant(value: &Value) -> Timestamp {
    Timestamp::parse(value.as_str().unwrap()).unwrap()
}
