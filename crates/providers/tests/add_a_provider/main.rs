//! The worked example of docs/add-a-provider.md: a provider, its table of cases, and its tests over a real socket. A test
//! compares the document with this code.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod acme;
mod document;
mod socket;

use std::{sync::Arc, time::Duration};

use domain::{
    Address, Attachments, Body, Channel, Clock, Content, Entropy, ErrorCode, MessageId, SystemClock,
    Timestamp,
};
use trunkline_providers::{
    Call, Provider, Routes, SameName, SendResult,
    simulator::{SimulatorSettings, Simulators, receipt_channel},
};

use acme::{Acme, AcmeSettings};
use socket::Socket;

const KEY: &str = "acme-secret-key";

fn acme(socket: &Socket) -> Acme {
    Acme::new(AcmeSettings {
        name: "acme".parse().unwrap(),
        channels: vec![Channel::Sms, Channel::Mms],
        url: socket.url().parse().unwrap(),
        key: KEY.to_owned(),
    })
}

fn content() -> Content {
    let address = |text| Address::recipient(Channel::Mms, text, None).unwrap().given;
    Content {
        channel: Channel::Mms,
        from: address("+12016661234"),
        to: address("+18045551234"),
        subject: None,
        body: Body::new("Hello!").unwrap(),
        attachments: Attachments::new(vec!["https://example.com/cat.png".to_owned()], 10).unwrap(),
        metadata: domain::Metadata::default(),
    }
}

fn message_id() -> MessageId {
    MessageId::mint(
        Timestamp::parse("2026-11-21T10:00:00Z").unwrap(),
        &Entropy::from_seed(1),
    )
}

async fn send(provider: &Acme, attempt_number: u32) -> SendResult {
    let content = content();
    let call = Call {
        message_id: message_id(),
        attempt_number,
        completed_attempts: attempt_number - 1,
        content: &content,
    };
    provider.send(call).await
}

#[tokio::test]
async fn a_call_is_one_request() {
    let socket = Socket::open().await;
    let acme = acme(&socket);
    let response = "HTTP/1.1 202 Accepted\r\nconnection: close\r\n\r\n{\"id\": \"a1\"}";
    let (result, request) = tokio::join!(send(&acme, 1), socket.respond(response));
    let provider_message_id = "a1".parse().ok();
    assert_eq!(result, SendResult::Success { provider_message_id });
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{head}");
    assert!(
        head.contains(&format!("\r\nauthorization: Bearer {KEY}\r\n")),
        "{head}"
    );
    assert_eq!(
        body,
        r#"{"from":"+12016661234","to":"+18045551234","text":"Hello!","media_urls":["https://example.com/cat.png"]}"#
    );
}

#[tokio::test]
async fn each_attempt_of_a_message_has_its_id() {
    let socket = Socket::open().await;
    let acme = acme(&socket);
    let id = format!("\r\nidempotency-key: {}\r\n", message_id());
    for attempt_number in [1, 2] {
        let response = "HTTP/1.1 500 Oops\r\nconnection: close\r\n\r\n";
        let (_, request) = tokio::join!(send(&acme, attempt_number), socket.respond(response));
        assert!(request.contains(&id), "{request}");
    }
}

#[tokio::test]
async fn each_response_has_a_result() {
    let rate_limited = SendResult::RateLimited {
        retry_after: Some(Duration::from_secs(7)),
        error_code: ErrorCode::of("acme_rate_limited"),
    };
    let rejected = SendResult::Rejected {
        error_code: ErrorCode::of("no_such_number"),
    };
    let taken = SendResult::Success {
        provider_message_id: None,
    };
    let endless = format!("HTTP/1.1 202 Accepted\r\n\r\n{}", "x".repeat(1 << 20));
    for (label, response, expected) in [
        (
            "slow down",
            "HTTP/1.1 429 Slow down\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
            rate_limited,
        ),
        (
            "a code",
            "HTTP/1.1 422 No\r\nconnection: close\r\n\r\n{\"code\": \"no_such_number\"}",
            rejected,
        ),
        ("a body that is too long", &endless, taken),
        // Acme has the request and may have taken the message.
        ("silence", "", SendResult::Timeout),
        ("no HTTP", "220 ready\r\n\r\n", SendResult::Timeout),
    ] {
        let socket = Socket::open().await;
        let acme = acme(&socket);
        let (result, _) = tokio::join!(send(&acme, 1), socket.respond(response));
        assert_eq!(result, expected, "{label}");
    }
}

#[tokio::test]
async fn no_connection_is_an_error_and_no_timeout() {
    let socket = Socket::open().await;
    let acme = acme(&socket);
    drop(socket);
    let error_code = ErrorCode::of("acme_unreachable");
    assert_eq!(send(&acme, 1).await, SendResult::Error { error_code });
}

/// The simulators, and Acme if it is configured.
fn routes(simulators: &Simulators, acme: Option<AcmeSettings>) -> Result<Routes, SameName> {
    let mut providers = simulators.providers();
    if let Some(settings) = acme {
        providers.push(Arc::new(Acme::new(settings)));
    }
    Routes::new(providers)
}

#[tokio::test]
async fn it_stands_beside_the_simulators() {
    let socket = Socket::open().await;
    let settings = AcmeSettings {
        name: "acme".parse().unwrap(),
        channels: vec![Channel::Sms, Channel::Mms],
        url: socket.url().parse().unwrap(),
        key: KEY.to_owned(),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (receipts, _) = receipt_channel(&clock);
    let simulators = Simulators::new(
        SimulatorSettings::default(),
        &Entropy::from_seed(1),
        clock,
        &receipts,
    );
    let routes = routes(&simulators.unwrap(), Some(settings)).unwrap();
    let address = |text| Address::recipient(Channel::Sms, text, None).unwrap().participant;
    let route = routes.choose(Channel::Sms, &address("+12016661234"), &address("+18045551234"));
    let names: Vec<_> = route
        .unwrap()
        .providers
        .iter()
        .map(|provider| provider.name().as_str())
        .collect();
    assert_eq!(names, ["sms-mms", "acme"]);
}

#[tokio::test]
async fn its_debug_form_hides_the_key() {
    let acme = acme(&Socket::open().await);
    assert!(!format!("{acme:?}").contains(KEY));
}
