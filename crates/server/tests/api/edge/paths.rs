use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use proptest::{prelude::*, sample::select};

use super::{Edge, odd_text};
use crate::world::sms;

/// The routes that are about one thing.
const ABOUT_ONE: [(&str, &str, &str); 5] = [
    ("GET", "/api/messages/", ""),
    ("GET", "/api/conversations/", ""),
    ("GET", "/api/conversations/", "/messages"),
    ("POST", "/api/messages/", "/redrive"),
    ("GET", "/docs/", ""),
];

/// A part of a path, escaped or bare.
fn part() -> impl Strategy<Value = String> {
    let escaped = |bytes: Vec<u8>| {
        bytes
            .iter()
            .map(|byte| format!("%{byte:02x}"))
            .collect::<String>()
    };
    prop_oneof![
        "(0{1,3}|%2b|%20|-|%7b)?1(%20|%00|%7d|\\.0)?",
        "[0-9]{1,25}",
        "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "[a-zA-Z0-9%.+~_:@!$&'()*,;=-]{1,20}",
        odd_text().prop_map(move |text| escaped(text.into_bytes())),
        prop::collection::vec(any::<u8>(), 1..12).prop_map(escaped),
    ]
}

#[test]
fn a_path_without_an_exact_id_is_not_found() {
    let edge = Edge::new();
    let id = edge.runtime.block_on(edge.world.sent(&sms("a")));
    let cases = (select(&ABOUT_ONE[..]), part());
    edge.each(&cases, async |world, ((method, before, after), part)| {
        let path = format!("{before}{part}{after}");
        let response = world.client.request(method, &path).send().await;
        // An id has one spelling: the decoded part equals it, or it is not found.
        let spelled: Cow<'_, [u8]> = percent_decode_str(&part).into();
        let there = match before {
            "/api/conversations/" => "1",
            _ => &id,
        };
        let is_there = *spelled == *there.as_bytes();
        edge.is_one_of(
            &response,
            if is_there {
                &[200, 404, 405, 409]
            } else {
                &[404, 405]
            },
        )
    });
}
