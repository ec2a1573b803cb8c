//! What the service is for, as 24 requests and their answers.

use std::collections::BTreeMap;

use hyper::Method;
use serde_json::{Value, json};

use crate::world::{Answer, Kind, Node, SOON, Stopwatch, World, on_both_databases, until};

on_both_databases!(the_service_answers_as_its_mission_says);

const HERE: &str = "+12016661234";
const THERE: &str = "+18045551234";
const SHOP: &str = "shop@example.com";
const CUSTOMER: &str = "customer@example.com";
const MENU: &str = "https://example.com/menu.png";
const HTML: &str = "<p>Thank <b>you</b>, and see you again: the menu was as good as last time!</p>";

/// A request, the status of its answer, and what the answer shows at these JSON pointers.
struct Case {
    rule: &'static str,
    request: &'static str,
    body: Value,
    status: u16,
    shows: Value,
    idempotency_key: Option<&'static str>,
    /// Under which name the answer is kept: `{name/id}` in a later case is the `id` in it.
    name: &'static str,
}

fn case(rule: &'static str, request: &'static str, body: Value, status: u16, shows: Value) -> Case {
    Case {
        rule,
        request,
        body,
        status,
        shows,
        idempotency_key: None,
        name: "",
    }
}

impl Case {
    fn keep(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    fn key(self, key: &'static str) -> Self {
        Self {
            idempotency_key: Some(key),
            ..self
        }
    }
}

async fn the_service_answers_as_its_mission_says(kind: Kind) {
    let sms = json!({"from": HERE, "to": THERE, "type": "sms", "body": "Hello!"});
    let mms = json!({"from": HERE, "to": THERE, "type": "mms", "body": "", "attachments": [MENU]});
    let reply = json!({"from": "001 (804) 555-1234", "to": HERE, "type": "sms", "messaging_provider_id": "reply-1", "body": "Who is this?"});
    let accepted = || json!({"/status": "accepted"});
    let cases = [
        case(
            "an SMS is accepted",
            "POST /api/messages/sms",
            sms.clone(),
            202,
            accepted(),
        )
        .key("order-17")
        .keep("sms"),
        case(
            "a repeat under a key is the same message",
            "POST /api/messages/sms",
            sms,
            202,
            json!({"/id": "{sms/id}"}),
        )
        .key("order-17"),
        case(
            "a key is for one message",
            "POST /api/messages/sms",
            mms.clone(),
            422,
            json!({"/code": "idempotency_key_reused"}),
        )
        .key("order-17"),
        case(
            "an MMS joins the conversation of the SMS",
            "POST /api/messages/sms",
            mms,
            202,
            json!({"/conversation_id": "{sms/conversation_id}"}),
        ),
        case(
            "an MMS needs an attachment",
            "POST /api/messages/sms",
            json!({"from": HERE, "to": THERE, "type": "mms", "body": "Look!"}),
            400,
            json!({"/code": "invalid", "/errors/0/pointer": "/attachments"}),
        ),
        case(
            "an email is accepted",
            "POST /api/messages/email",
            json!({"from": SHOP, "to": CUSTOMER, "subject": "Your order", "body": "<p>Sent</p>"}),
            202,
            accepted(),
        )
        .keep("email"),
        case(
            "one route takes every channel",
            "POST /api/messages",
            json!({"channel": "sms", "from": HERE, "to": THERE, "body": "Hello again!"}),
            202,
            json!({"/conversation_id": "{sms/conversation_id}"}),
        ),
        case(
            "a sender has a limit",
            "POST /api/messages/sms",
            json!({"from": HERE, "to": THERE, "type": "sms", "body": "Too much"}),
            429,
            json!({"/code": "rate_limited"}),
        ),
        case(
            "metrics count what a limit refuses",
            "GET /metrics",
            Value::Null,
            200,
            json!({"": "trunkline_rate_limited_total{limit=\"sender\"} 1"}),
        ),
        case(
            "a message is dispatched, and its attempt recorded",
            "GET /api/messages/{sms/id}",
            Value::Null,
            200,
            json!({"/status": "dispatched", "/attempts/0/attempt_number": 1, "/attempts/0/outcome": "success"}),
        ),
        case(
            "simulated providers fail on demand",
            "PUT /api/provider/mock/config",
            json!({"timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0, "providers": {"email": {"error_pct": 100}}}),
            200,
            json!({"/effective/email/error_pct": 100, "/effective/sms-mms/error_pct": 0}),
        ),
        case(
            "a message to a failing provider is accepted",
            "POST /api/messages/email",
            json!({"from": "desk@example.com", "to": CUSTOMER, "body": "Lost"}),
            202,
            accepted(),
        )
        .keep("lost"),
        case(
            "it is tried again, then parked",
            "GET /api/messages/{lost/id}",
            Value::Null,
            200,
            json!({"/status": "failed", "/failure/reason": "exhausted", "/attempts/1/outcome": "error"}),
        ),
        case(
            "the breaker of that provider opens, and of no other",
            "GET /api/providers",
            Value::Null,
            200,
            json!({"/items/0/name": "email", "/items/0/breaker/state": "open", "/items/1/breaker/state": "closed"}),
        ),
        case(
            "dead letters are listed",
            "GET /api/messages?status=failed",
            Value::Null,
            200,
            json!({"/meta/total": 1, "/items/0/id": "{lost/id}"}),
        ),
        case(
            "simulated providers recover on demand",
            "PUT /api/provider/mock/config",
            json!({"timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0}),
            200,
            json!({"/effective/email/error_pct": 0}),
        ),
        case(
            "a dead letter can be redriven",
            "POST /api/messages/{lost/id}/redrive",
            Value::Null,
            202,
            json!({"/id": "{lost/id}"}),
        ),
        case(
            "the breaker closes, and the message is dispatched",
            "GET /api/messages/{lost/id}",
            Value::Null,
            200,
            json!({"/status": "dispatched", "/attempts/2/outcome": "success"}),
        ),
        case(
            "a reply joins the conversation, however its number is written",
            "POST /api/webhooks/sms",
            reply.clone(),
            202,
            json!({"/conversation_id": "{sms/conversation_id}"}),
        )
        .keep("reply"),
        case(
            "a repeat from a provider is the same message",
            "POST /api/webhooks/sms",
            reply,
            202,
            json!({"/id": "{reply/id}"}),
        ),
        case(
            "a malformed inbound message is refused",
            "POST /api/webhooks/sms",
            json!({"from": THERE, "to": "nowhere!", "type": "sms", "messaging_provider_id": "reply-2", "body": "Hi"}),
            400,
            json!({"/code": "invalid", "/errors/0/pointer": "/to"}),
        ),
        case(
            "email keeps its HTML, and a plus tag changes no conversation",
            "POST /api/webhooks/email",
            json!({"from": "Customer+shop@example.com", "to": SHOP, "xillio_id": "reply-3", "body": HTML}),
            202,
            json!({"/conversation_id": "{email/conversation_id}"}),
        )
        .keep("thanks"),
        case(
            "conversations list their messages, with snippets",
            "GET /api/conversations/{email/conversation_id}/messages",
            Value::Null,
            200,
            json!({"/meta/total": 2, "/items/1/id": "{thanks/id}", "/items/1/body": HTML, "/items/1/snippet": "<p>Thank <b>you</b>, and see you again: the menu was as good as …"}),
        ),
    ];
    let without_email = [case(
        "a channel without a provider is an error",
        "POST /api/messages/email",
        json!({"from": SHOP, "to": CUSTOMER, "body": "Hello!"}),
        500,
        json!({"/code": "no_provider"}),
    )];
    assert_eq!(cases.len() + without_email.len(), 24);

    let world = World::new(kind)
        .set("API_RATE_LIMIT_PER_SENDER_PER_MIN", 3)
        .set("API_WORKER_MAX_ATTEMPTS", 2)
        .set("API_WORKER_BACKOFF_BASE_MS", 10)
        .set("API_BREAKER_ERROR_THRESHOLD", 2)
        .set("API_BREAKER_OPEN_SECS", 1)
        .set("API_BREAKER_HALF_OPEN_SAMPLES", 1);
    let node = world.start_node().await;
    let mut kept = BTreeMap::new();
    for case in cases {
        check(&node, case, &mut kept).await;
    }
    assert_eq!(world.count("messages").await, 7);
    let world = World::new(kind).set("API_PROVIDER_EMAIL_ENABLED", false);
    let node = world.start_node().await;
    for case in without_email {
        check(&node, case, &mut kept).await;
    }
}

async fn check(node: &Node, case: Case, kept: &mut BTreeMap<&str, Value>) {
    let fill = |text: &str| {
        let mut text = text.to_owned();
        for (name, answer) in &*kept {
            for id in ["id", "conversation_id"] {
                text = text.replace(
                    &format!("{{{name}/{id}}}"),
                    answer[id].as_str().unwrap_or_default(),
                );
            }
        }
        text
    };
    let (method, path) = case.request.split_once(' ').unwrap();
    let (method, path) = (method.parse::<Method>().unwrap(), fill(path));
    let headers: Vec<_> = case
        .idempotency_key
        .map(|key| ("idempotency-key", key))
        .into_iter()
        .collect();
    let body = Some(&case.body).filter(|body| !body.is_null());
    let ask = async || node.ask(method.clone(), &path, &headers, body).await;
    let shows = case.shows.as_object().unwrap();
    let shown = |answer: &Answer, (pointer, value): (&String, &Value)| match value {
        Value::String(text) if pointer.is_empty() => String::from_utf8_lossy(&answer.body).contains(text),
        Value::String(text) => answer.json().pointer(pointer) == Some(&json!(fill(text))),
        value => answer.json().pointer(pointer) == Some(value),
    };
    let fits = |answer: &Answer| answer.status == case.status && shows.iter().all(|part| shown(answer, part));
    // What a GET shows follows from work in the background.
    let watch = Stopwatch::start();
    let waits = |answer: &Answer| method == Method::GET && !fits(answer) && watch.elapsed() < SOON;
    let answer = until(case.rule, 2 * SOON, async || {
        Some(ask().await).filter(|answer| !waits(answer))
    })
    .await;
    let text = String::from_utf8_lossy(&answer.body);
    assert!(
        fits(&answer),
        "{}: {} {} {text}",
        case.rule,
        case.request,
        answer.status
    );
    if !case.name.is_empty() {
        kept.insert(case.name, answer.json());
    }
}
