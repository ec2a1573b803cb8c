use engine::LimitSettings;
use proptest::{prelude::*, sample::select};

use super::{Edge, odd_text};
use crate::world::{Response, World, sms};

const SMS: &str = "/api/messages/sms";

/// What a header can carry: bytes without control characters, white space only inside.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let any_bytes = prop::collection::vec(any::<u8>(), 0..40);
    let bytes = prop_oneof![
        any_bytes,
        odd_text().prop_map(String::into_bytes),
        "[ -~]{0,300}".prop_map(String::into_bytes)
    ];
    bytes.prop_map(|bytes| {
        let allowed: Vec<u8> = bytes
            .into_iter()
            .filter(|byte| *byte >= b' ' && *byte != 0x7f)
            .collect();
        allowed.trim_ascii().to_vec()
    })
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    let word = "[!-~]{1,12}|[!-~]{253,257}";
    let quoted =
        prop_oneof![4 => word, 1 => r#"([ -~]|\\"|\\\\){0,12}"#].prop_map(|word| format!("\"{word}\""));
    prop_oneof![2 => word.prop_map(String::into_bytes), 3 => quoted.prop_map(String::into_bytes), 3 => value()]
}

async fn send(world: &World, headers: &[(&str, &[u8])]) -> Response {
    let mut request = world.client.request("POST", SMS).json(&sms("a"));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.send().await
}

#[test]
fn a_key_is_a_key_in_both_forms_or_refused() {
    let edge = Edge::new();
    edge.each(&key(), async |world, header| {
        let response = send(world, &[("idempotency-key", &header)]).await;
        edge.is_one_of(&response, &[202, 400])?;
        let text = std::str::from_utf8(&header).unwrap_or_default();
        let key = text.parse::<domain::IdempotencyKey>().ok();
        prop_assert_eq!(response.status == 202, key.is_some(), "{}", response);
        let Some(key) = key else {
            let response = response.expect_invalid(&["Idempotency-Key"]);
            prop_assert!(!response.is_replay());
            return Ok(());
        };
        let quoted = format!("\"{}\"", key.as_str().replace('\\', r"\\").replace('"', "\\\""));
        let repeat = send(world, &[("idempotency-key", quoted.as_bytes())]).await;
        prop_assert!(repeat.is_replay(), "{}", repeat);
        prop_assert_eq!(repeat.id(), response.id());
        Ok(())
    });
}

#[test]
fn a_request_id_is_taken_when_it_is_a_plain_word() {
    let edge = Edge::new();
    let word = "[a-zA-Z0-9_.:/+=-]{1,20}|[a-z]{126,130}";
    let ids = prop_oneof![word.prop_map(String::into_bytes), value()];
    edge.each(&ids, async |world, id| {
        let response = world
            .client
            .request("GET", "/healthz")
            .header("x-request-id", &id)
            .send()
            .await;
        edge.is_one_of(&response, &[200])?;
        let text = String::from_utf8(id).unwrap_or_default();
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.:/+=".contains(letter);
        let is_plain = (1..=128).contains(&text.len()) && text.chars().all(plain);
        let echoed = response.header("x-request-id").unwrap();
        if is_plain {
            prop_assert_eq!(echoed, text);
        } else {
            let made = echoed.len() == 16 && echoed.chars().all(|digit| digit.is_ascii_hexdigit());
            prop_assert!(made, "{echoed:?} for {text:?}");
        }
        Ok(())
    });
}

#[test]
fn no_header_fails_a_request() {
    let names = [
        "accept",
        "accept-encoding",
        "authorization",
        "content-encoding",
        "content-language",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "if-match",
        "origin",
        "range",
        "te",
        "traceparent",
        "user-agent",
        "x-forwarded-for",
        "x-http-method-override",
        "x-request-id",
    ];
    let edge = Edge::with(|settings| {
        settings.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let headers = prop::collection::vec((select(names.to_vec()), value()), 1..4);
    edge.each(&headers, async |world, headers| {
        let headers: Vec<(&str, &[u8])> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_slice()))
            .collect();
        let before = world.messages_stored().await;
        let response = send(world, &headers).await;
        edge.is_one_of(&response, &[202, 400, 415, 417])?;
        let stored = world.messages_stored().await - before;
        prop_assert_eq!(stored, u64::from(response.status == 202), "{}", response);
        Ok(())
    });
}

#[test]
fn a_media_type_is_json_or_refused() {
    let edge = Edge::new();
    let other = "[a-z]{1,11}/(x-|vnd[.]a[+])?json[a-z]?".prop_map(String::into_bytes);
    let near = "[aA]pplication/(json|JSON|[a-z.]{1,5}[+]json)( ?;[ -~]{0,10})?".prop_map(String::into_bytes);
    edge.each(&prop_oneof![near, other, value()], async |world, media_type| {
        let request = world
            .client
            .request("POST", SMS)
            .text("application/json", sms("a").to_string());
        let response = request.replaced_header("content-type", &media_type).send().await;
        edge.is_one_of(&response, &[202, 415])?;
        let text = String::from_utf8(media_type)
            .unwrap_or_default()
            .to_ascii_lowercase();
        let essence = text.split(';').next().unwrap_or_default().trim();
        let is_json = essence
            .strip_prefix("application/")
            .is_some_and(|rest| rest == "json" || rest.ends_with("+json"));
        prop_assert_eq!(response.status == 202, is_json, "{}", response);
        Ok(())
    });
}

#[test]
fn a_forwarded_address_of_an_untrusted_peer_is_ignored() {
    // One request per address: the first one uses up the socket's.
    let edge = Edge::with(|settings| {
        settings.engine.limits = LimitSettings::per_minute(1, 1_000_000, 1_000_000);
    });
    edge.runtime
        .block_on(async { send(&edge.world, &[]).await.expect(202) });
    let claim = prop_oneof![
        "[0-9]{1,3}([.][0-9]{1,3}){3}".prop_map(String::into_bytes),
        value()
    ];
    edge.each(&claim, async |world, claim| {
        let response = send(
            world,
            &[
                ("x-forwarded-for", &claim),
                ("forwarded", &claim),
                ("x-real-ip", &claim),
            ],
        )
        .await;
        edge.is_one_of(&response, &[429])
    });
}
