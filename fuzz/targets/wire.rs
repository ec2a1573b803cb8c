//! Bytes on a connection of their own: heads, headers, bodies, and anything else.
#![no_main]

#[allow(dead_code, reason = "each target asks in its own way")]
mod node;

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use node::Node;

thread_local! {
    static NODE: RefCell<Node> = RefCell::new(Node::new());
}

fuzz_target!(|bytes: &[u8]| {
    let answer = NODE.with_borrow_mut(|node| node.send(bytes));
    let text = String::from_utf8_lossy(&answer);
    if text.starts_with("HTTP/1.") {
        let status = text.get(9..12).and_then(|status| status.parse::<u16>().ok());
        assert!(status.is_some_and(|status| status < 500), "{text}");
    } else {
        assert_eq!(text, "", "not HTTP");
    }
});
