//! Paths and queries of reads. The first byte chooses the listing.
#![no_main]

#[allow(dead_code, reason = "each target asks in its own way")]
mod node;

use std::cell::RefCell;

use http_body_util::Full;
use hyper::{Request, Uri};
use libfuzzer_sys::{Corpus, fuzz_target};
use node::Node;

const PATHS: [&str; 6] = [
    "/api/messages?",
    "/api/conversations?",
    "/api/conversations/1/messages?",
    "/api/messages/",
    "/api/conversations/",
    "/",
];

thread_local! {
    static NODE: RefCell<Node> = RefCell::new(Node::new());
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some((path, rest)) = bytes.split_first() else {
        return Corpus::Reject;
    };
    let path = PATHS[usize::from(*path) % PATHS.len()];
    let Ok(uri) = Uri::from_maybe_shared([path.as_bytes(), rest].concat()) else {
        return Corpus::Reject;
    };
    let request = Request::get(uri)
        .header("host", "fuzz.test")
        .body(Full::default())
        .expect("a request");
    let answer = NODE.with_borrow_mut(|node| node.ask(request));
    let is_page = answer.status < 400
        && !answer
            .content_type
            .as_deref()
            .unwrap_or_default()
            .contains("json");
    if !is_page {
        answer.is_one_of(
            &[200, 400, 404, 405],
            &["invalid", "not_found", "method_not_allowed"],
        );
    }
    Corpus::Keep
});
