use proptest::{
    prelude::*,
    sample::{Index, select},
};
use serde_json::Value;

use super::{Edge, odd_text};
use crate::world::{World, email, sms};

const LISTINGS: [&str; 3] = [
    "/api/messages",
    "/api/conversations",
    "/api/conversations/1/messages",
];
const NAMES: [&str; 8] = [
    "page",
    "pageSize",
    "cursor",
    "status",
    "channel",
    "provider",
    "participant",
    "unknown",
];

fn value() -> impl Strategy<Value = String> {
    let words = [
        "",
        "0",
        "1",
        "2",
        "200",
        "201",
        "4294967295",
        "4294967296",
        "99999999999999999999999",
        "-1",
        "+1",
        "1.5",
        "1e3",
        "０",
        "sms",
        "mms",
        "email",
        "SMS",
        "pending",
        "dispatched",
        "failed",
        "received",
        "delivered",
        "sms-mms",
        "c1.1",
        "t1.1",
        "c9223372036854775807.9223372036854775807",
        "t-62135596800000000.0",
        "m00000000000000000000000000000000",
        "+12016661234",
        " 12016661234",
        "someone@example.com",
        "no one",
    ];
    prop_oneof![3 => select(words.to_vec()).prop_map(str::to_owned), 1 => odd_text(), 1 => "[ctm][0-9a-f.-]{0,40}"]
}

/// A query: parameters, properly escaped or not at all.
fn query() -> impl Strategy<Value = String> {
    let parameter = (select(&NAMES[..]), value())
        .prop_map(|(name, value)| format!("{name}={}", escaped(value.as_bytes())));
    let parameters = prop::collection::vec(parameter, 0..4).prop_map(|parameters| parameters.join("&"));
    let raw = "[a-zA-Z0-9%&=+.;:/?@!$'()*,~_-]{0,30}";
    let bytes =
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| format!("cursor={}", escaped(&bytes)));
    prop_oneof![6 => parameters, 1 => raw, 1 => bytes]
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}

/// What a listing takes.
fn taken(path: &str) -> &'static [&'static str] {
    match path {
        "/api/messages" => &["page", "pageSize", "cursor", "status", "channel", "provider"],
        "/api/conversations" => &["page", "pageSize", "cursor", "channel", "participant"],
        _ => &["page", "pageSize", "cursor"],
    }
}

/// The names and values in a query, as HTML forms encode them.
fn parameters(query: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced)
            .decode_utf8_lossy()
            .into_owned()
    };
    // What follows a `#` is no part of the query.
    let query = query.split('#').next().unwrap_or_default();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// A node with something to list.
fn edge() -> Edge {
    let edge = Edge::new();
    edge.runtime.block_on(async {
        for number in 0..3 {
            edge.world.sent(&sms(&format!("{number}"))).await;
            edge.world.sent(&email(&format!("{number}"))).await;
        }
    });
    edge
}

async fn list(world: &World, path: &str) -> Value {
    world.get(path).await.expect(200).json()
}

#[test]
fn a_listing_answers_every_query() {
    let edge = edge();
    edge.each(&(select(&LISTINGS[..]), query()), async |world, (path, query)| {
        let response = world.get(&format!("{path}?{query}")).await;
        edge.is_one_of(&response, &[200, 400])?;
        let given = parameters(&query);
        let strict = given.iter().enumerate().all(|(index, (name, value))| {
            let is_repeated = given[..index].iter().any(|(earlier, _)| earlier == name);
            taken(path).contains(&name.as_str()) && !is_repeated && !value.is_empty()
        });
        if response.status == 400 {
            let problem = response.expect_problem(400, "invalid").json();
            let named = problem["errors"][0]["pointer"].as_str().unwrap().to_owned();
            prop_assert!(!strict || taken(path).contains(&named.as_str()), "{named}");
            return Ok(());
        }
        prop_assert!(strict, "{response}");
        let listed = response.json();
        let (meta, items) = (&listed["meta"], listed["items"].as_array().unwrap().len() as u64);
        let size = meta["page_size"].as_u64().unwrap();
        prop_assert!((1..=200).contains(&size) && items <= size, "{response}");
        prop_assert!(items <= meta["total"].as_u64().unwrap(), "{response}");
        prop_assert!(
            meta["page"].is_null() || meta["page"].as_u64() >= Some(1),
            "{response}"
        );
        Ok(())
    });
}

#[test]
fn a_valid_page_is_listed() {
    let edge = edge();
    let size = prop_oneof![0_u64..=300, any::<u64>()];
    let page = prop_oneof![1_u64..=4, 1..=u64::MAX];
    let cases = (select(&LISTINGS[..]), size, page);
    edge.each(&cases, async |world, (path, size, page)| {
        let listed = list(world, &format!("{path}?pageSize={size}&page={page}")).await;
        let meta = &listed["meta"];
        let expected = if size == 0 { 50 } else { size.min(200) };
        prop_assert_eq!(meta["page_size"].as_u64(), Some(expected));
        let total = meta["total"].as_u64().unwrap();
        let skipped = (page - 1).saturating_mul(expected);
        let items = listed["items"].as_array().unwrap().len() as u64;
        prop_assert_eq!(items, total.saturating_sub(skipped).min(expected));
        prop_assert_eq!(
            meta["next_cursor"].is_string(),
            skipped.saturating_add(items) < total
        );
        Ok(())
    });
}

#[test]
fn a_changed_cursor_is_refused_or_names_another_position() {
    let edge = edge();
    let cursors = edge.runtime.block_on(async {
        let mut cursors = Vec::new();
        for path in LISTINGS {
            let listed = list(&edge.world, &format!("{path}?pageSize=1")).await;
            cursors.push((path, listed["meta"]["next_cursor"].as_str().unwrap().to_owned()));
        }
        cursors
    });
    let cases = (select(cursors), any::<Index>(), any::<u8>(), 0_u8..4);
    edge.each(&cases, async |world, ((path, cursor), at, byte, change)| {
        let mut bytes = cursor.clone().into_bytes();
        let at = at.index(bytes.len());
        match change {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
        let response = world.get(&format!("{path}?cursor={}", escaped(&bytes))).await;
        edge.is_one_of(&response, &[200, 400])?;
        if response.status == 400 {
            response.expect_invalid(&["cursor"]);
        } else {
            // It is the cursor of another position.
            prop_assert!(bytes.starts_with(&cursor.as_bytes()[..1]), "{response}");
            prop_assert!(response.json()["meta"]["page"].is_null(), "{response}");
        }
        Ok(())
    });
}
