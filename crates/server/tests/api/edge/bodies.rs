use std::cell::Cell;

use proptest::{prelude::*, sample::select, test_runner::TestCaseResult};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::{
    Edge,
    json::{Change, Damage, Document, changes, damage},
};
use crate::world::{Response, World, email, email_webhook, mms, sms, sms_webhook, unified};

const ATTACHED: &[&str] = &["https://example.com/a.png"];

/// Every route that stores messages, with a body it accepts.
fn storing() -> Vec<(&'static str, Value)> {
    let injected = json!({
        "channel": "mms", "type": "mms", "from": "+18045551234", "to": "+12016661234", "body": "Hi", "attachments": ATTACHED,
        "timestamp": "2026-11-21T10:00:00Z", "provider_message_id": "message-3",
    });
    vec![
        ("/api/messages/sms", sms("Hello!")),
        ("/api/messages/sms", mms("", ATTACHED)),
        ("/api/messages/email", email("<p>Hello!</p>")),
        ("/api/messages", unified(&sms("Hello!"))),
        ("/api/messages", unified(&email("<p>Hello!</p>"))),
        ("/api/webhooks/sms", sms_webhook("message-1", "Hi")),
        ("/api/webhooks/email", email_webhook("message-2", "<p>Hi</p>")),
        ("/api/provider/mock/inbound", injected),
    ]
}

/// The other routes that take a body.
fn ruling() -> Vec<(&'static str, &'static str, Value)> {
    let config = json!({
        "timeout_pct": 0, "error_pct": 5, "ratelimit_pct": 5, "rejected_pct": 5, "latency_ms": 1, "latency_max_ms": 3, "seed": 7,
        "providers": {"email": {"error_pct": 0, "timeout_taken_pct": 50}, "sms-mms": {"seed": 1}},
    });
    let redrive = json!({
        "provider": "email", "channel": "email", "reason": "exhausted", "failed_before": "2026-11-21T10:00:00Z",
    });
    vec![
        ("PUT", "/api/provider/mock/config", config),
        ("POST", "/api/messages/redrive", redrive),
    ]
}

fn body(valid: &Value, changes: &[Change], damage: Option<&Damage>) -> Vec<u8> {
    let text = Document::of(valid).changed(changes).text();
    damage.map_or(text.clone().into_bytes(), |damage| damage.done_to(&text))
}

async fn ask(world: &World, method: &str, path: &str, body: Vec<u8>) -> Response {
    let request = world.client.request(method, path);
    request.text("application/json", body).send().await
}

#[test]
fn a_body_is_stored_as_it_is_or_refused_and_leaves_nothing() {
    let edge = Edge::new();
    let stored = Cell::new(0);
    let cases = (select(storing()), changes(), damage());
    edge.each(&cases, async |world, ((path, valid), changes, damage)| {
        let body = body(&valid, &changes, damage.as_ref());
        let response = ask(world, "POST", path, body.clone()).await;
        edge.is_one_of(&response, &[202, 400])?;
        let before = stored.replace(world.messages_stored().await);
        let is_lenient = path.starts_with("/api/webhooks");
        if damage.is_none() {
            let harmless = |change: &Change| change.is_harmless(is_lenient);
            prop_assert!(
                response.status == 202 || !changes.iter().all(harmless),
                "{response}"
            );
            let refused = !is_lenient && changes.iter().any(Change::adds);
            prop_assert!(response.status == 400 || !refused, "{response}");
        }
        if response.status == 202 {
            // A provider's repeat is accepted but not stored again.
            prop_assert!(
                stored.get() == before + 1 || (stored.get() == before && !path.starts_with("/api/messages"))
            );
            is_stored(world, &response.id(), &body, stored.get() > before).await
        } else {
            prop_assert_eq!(stored.get(), before, "{}", response);
            Ok(())
        }
    });
}

/// An accepted message can be read, and a new one has the content of the body.
async fn is_stored(world: &World, id: &str, body: &[u8], is_new: bool) -> TestCaseResult {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let well_formed = serde_json::from_slice::<IgnoredAny>(body);
    prop_assert!(well_formed.is_ok(), "{well_formed:?}");
    let is_object = body.trim_ascii_start().first() == Some(&b'{');
    prop_assert!(is_object);
    let message = world.message(id).await;
    if !is_new {
        return Ok(());
    }
    // A body may be accepted although a JSON value cannot hold it: `{"unknown": 1e999}`.
    let Ok(said) = serde_json::from_slice::<Value>(body) else {
        return Ok(());
    };
    let is_as_said = |field: &str| match &said[field] {
        Value::Null => field == "body" && message[field] == "",
        // An inbound address may have a display name, or be a number.
        Value::String(said) => {
            message[field] == *said || said.ends_with(&format!("<{}>", text(&message[field])))
        }
        number => number.as_i64().map(|number| number.to_string()).as_deref() == message[field].as_str(),
    };
    for field in ["from", "to", "body"] {
        prop_assert!(is_as_said(field), "{field} of {message}");
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn other_bodies_take_effect_or_change_nothing() {
    let edge = Edge::new();
    let cases = (select(ruling()), changes(), damage());
    edge.each(&cases, async |world, ((method, path, valid), changes, damage)| {
        let before = world.get("/api/provider/mock/config").await.expect(200).json();
        let response = ask(world, method, path, body(&valid, &changes, damage.as_ref())).await;
        edge.is_one_of(&response, &[200, 202, 400])?;
        let after = world.get("/api/provider/mock/config").await.expect(200).json();
        if response.status == 200 {
            prop_assert_eq!(response.json(), after);
        } else {
            prop_assert_eq!(before, after, "{}", response);
        }
        if damage.is_none() && changes.iter().all(|change| change.is_harmless(false)) {
            prop_assert!(response.status < 300, "{response}");
        }
        Ok(())
    });
}
