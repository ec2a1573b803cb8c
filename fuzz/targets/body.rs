//! Bodies of every route that takes one, sends and webhooks among them. The first byte chooses the route.
#![no_main]

#[allow(dead_code, reason = "each target asks in its own way")]
mod node;

use std::cell::RefCell;

use http_body_util::Full;
use hyper::{Request, body::Bytes};
use libfuzzer_sys::fuzz_target;
use node::Node;

const ROUTES: [(&str, &str); 8] = [
    ("POST", "/api/messages"),
    ("POST", "/api/messages/sms"),
    ("POST", "/api/messages/email"),
    ("POST", "/api/webhooks/sms"),
    ("POST", "/api/webhooks/email"),
    ("POST", "/api/provider/mock/inbound"),
    ("PUT", "/api/provider/mock/config"),
    ("POST", "/api/messages/redrive"),
];

thread_local! {
    static NODE: RefCell<Node> = RefCell::new(Node::new());
}

fuzz_target!(|bytes: &[u8]| {
    let Some((route, body)) = bytes.split_first() else {
        return;
    };
    let (method, path) = ROUTES[usize::from(*route) % ROUTES.len()];
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "fuzz.test")
        .header("content-type", "application/json")
        .body(Full::from(Bytes::copy_from_slice(body)))
        .expect("a request");
    let answer = NODE.with_borrow_mut(|node| node.ask(request));
    answer.is_one_of(&[200, 202, 400], &["invalid"]);
});
