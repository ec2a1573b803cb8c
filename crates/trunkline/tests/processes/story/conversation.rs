use serde_json::{Value, json};

use crate::world::{Kind, Node, SOON, World, on_both_databases, text, until};

on_both_databases!(
    a_conversation_holds_both_directions_and_survives_a_restart,
    a_hundred_sends_at_once_make_one_conversation,
);

async fn a_conversation_holds_both_directions_and_survives_a_restart(kind: Kind) {
    let world = World::new(kind);
    let node = world.start_node().await;
    let (us, them) = ("+1 (201) 666-1234", "+18045551234");
    let html = "<p>Grüße 👩‍👩‍👧‍👦,\r\n\r\nyour <b>order</b></p>\r\n";
    let sms = node
        .post(
            "/api/messages/sms",
            &json!({"from": us, "to": them, "type": "sms", "body": "Hello!", "timestamp": "2026-03-01T10:00:00.000001Z"}),
        )
        .await
        .expect(202);
    let mms = node
        .post(
            "/api/messages/sms",
            &json!({"from": us, "to": them, "type": "mms", "body": "", "attachments": ["https://example.org/a.png"],
                    "timestamp": "2026-03-01T10:05:00Z"}),
        )
        .await
        .expect(202);
    let email = node
        .post(
            "/api/messages/email",
            &json!({"from": "Desk@Example.org", "to": "guest+news@example.com", "subject": "Order", "body": html}),
        )
        .await
        .expect(202);
    // The reply was written before the MMS and came in after it.
    let reply = node
        .post(
            "/api/webhooks/sms",
            &json!({"from": them, "to": us, "type": "sms", "messaging_provider_id": "in-1", "body": "Who is this?",
                    "attachments": null, "timestamp": "2026-03-01T10:02:00Z"}),
        )
        .await
        .expect(202);
    // The same instant as the MMS: the message that joined first comes first.
    let injected = node
        .post(
            "/api/provider/mock/inbound",
            &json!({"channel": "mms", "from": them, "to": us, "body": "👍", "attachments": ["https://example.org/b.png"],
                    "timestamp": "2026-03-01T10:05:00Z"}),
        )
        .await
        .expect(202);

    let phone = text(&sms["conversation_id"]);
    for same in [&mms, &reply, &injected] {
        assert_eq!(text(&same["conversation_id"]), phone);
    }
    assert_ne!(text(&email["conversation_id"]), phone);
    for sent in [&sms, &mms, &email] {
        let detail = until_final(&node, &text(&sent["id"])).await;
        assert_eq!(detail["status"], "dispatched");
        let attempts = detail["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1);
        assert_eq!(
            (&attempts[0]["attempt_number"], &attempts[0]["outcome"]),
            (&json!(1), &json!("success"))
        );
    }

    let thread = node
        .get(&format!("/api/conversations/{phone}/messages"))
        .await
        .expect(200);
    let items = thread["items"].as_array().unwrap();
    let order: Vec<String> = items.iter().map(|item| text(&item["id"])).collect();
    assert_eq!(
        order,
        [&sms, &reply, &mms, &injected].map(|message| text(&message["id"]))
    );
    let directions: Vec<&Value> = items.iter().map(|item| &item["direction"]).collect();
    assert_eq!(directions, ["outbound", "inbound", "outbound", "inbound"]);
    let sequences: Vec<&Value> = items.iter().map(|item| &item["sequence"]).collect();
    assert_eq!(sequences, [1, 3, 2, 4]);
    assert_eq!(items[0]["from"], us, "an address is kept as it was given");
    assert_eq!(items[0]["timestamp"], "2026-03-01T10:00:00.000001Z");
    assert_eq!(items[1]["status"], "received");

    let before = everything(&node, &[&sms, &mms, &email, &reply, &injected]).await;
    // The email is the latest: it came without a timestamp.
    let stored = &before[1]["items"][0];
    assert_eq!(
        (&stored["body"], &stored["subject"]),
        (&json!(html), &json!("Order"))
    );
    node.stop().await;
    let node = world.start_node().await;
    let after = everything(&node, &[&sms, &mms, &email, &reply, &injected]).await;
    assert_eq!(after, before);
    assert_eq!(world.ledger().len(), 3, "nothing is sent again");
}

async fn a_hundred_sends_at_once_make_one_conversation(kind: Kind) {
    const SENDS: usize = 100;
    let world = World::new(kind);
    let node = world.start_node().await;
    let bodies: Vec<Value> = (0..SENDS)
        .map(|number| {
            let (from, to) = if number % 2 == 0 {
                ("+12016661234", "+18045551234")
            } else {
                ("+18045551234", "+12016661234")
            };
            json!({"from": from, "to": to, "type": "sms", "body": format!("number {number}")})
        })
        .collect();
    for answer in node.post_at_once("/api/messages/sms", &[], &bodies).await {
        assert_eq!(answer.expect(202)["conversation_id"], "1");
    }
    let conversations = node.get("/api/conversations").await.expect(200);
    assert_eq!(conversations["meta"]["total"], 1);
    assert_eq!(conversations["items"][0]["message_count"], SENDS);
    let thread = node
        .get("/api/conversations/1/messages?pageSize=200")
        .await
        .expect(200);
    let items = thread["items"].as_array().unwrap();
    let mut sequences: Vec<u64> = items
        .iter()
        .map(|item| item["sequence"].as_u64().unwrap())
        .collect();
    sequences.sort_unstable();
    assert!(sequences.into_iter().eq(1..=SENDS as u64));
    world.until_all_final(SOON).await;
    assert_eq!(world.ledger().len(), SENDS);
}

/// The message, once nothing more will happen to it.
async fn until_final(node: &Node, id: &str) -> Value {
    let path = format!("/api/messages/{id}");
    until("the message is final", SOON, async || {
        let detail = node.get(&path).await.expect(200);
        (detail["status"] != "pending").then_some(detail)
    })
    .await
}

/// All that the API shows of these messages and of all conversations.
async fn everything(node: &Node, messages: &[&Value]) -> Vec<Value> {
    let conversations = node.get("/api/conversations").await.expect(200);
    let ids = conversations["items"].as_array().unwrap().iter();
    let mut paths: Vec<String> = ids
        .map(|conversation| format!("/api/conversations/{}/messages", text(&conversation["id"])))
        .collect();
    paths.extend(
        messages
            .iter()
            .map(|message| format!("/api/messages/{}", text(&message["id"]))),
    );
    let mut shown = vec![conversations];
    for path in paths {
        shown.push(node.get(&path).await.expect(200));
    }
    shown
}
