//! Accepting and receiving messages, and the refusals.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod world;

use std::{net::IpAddr, sync::Arc, time::Duration};

use domain::{Channel, Clock, PageRequest, Start, Status};
use store::{MessageFilter, Store};
use store_model::Memory;
use trunkline_engine::{
    ClientLimit, EngineSettings, Limit, LimitSettings, RateLimited, Received, SendError, Sent,
};

use world::{DrivenClock, World, email, keyed, message, settings, sms};

async fn webhook(world: &World, body: &str) -> Received {
    let (message, _) = message(Channel::Sms, "+18045551234", "+12016661234", body);
    let (provider, id) = ("sms-mms".parse().unwrap(), "event-1".parse().unwrap());
    let received = world.engine.receive(message, provider, id, "{}".into()).await;
    received.unwrap()
}

async fn stored(world: &World) -> usize {
    let page = PageRequest::new(0, Start::Page(1));
    let messages = world.store.messages(&MessageFilter::default(), &page).await;
    messages.unwrap().items.len()
}

fn limited(per_ip: u32, per_sender: u32, webhook_per_ip: u32) -> LimitSettings {
    LimitSettings::per_minute(per_ip, per_sender, webhook_per_ip)
}

#[tokio::test(start_paused = true)]
async fn without_a_provider_nothing_is_stored_and_a_repeat_is_answered() {
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::clone(&clock)));
    let node = |serving: &[Channel]| World::on(settings(), Arc::clone(&store), Arc::clone(&clock), serving);
    let (both, email_only) = (node(&[Channel::Sms, Channel::Email]), node(&[Channel::Email]));
    let first = both.send(keyed("k", sms("hello"))).await.unwrap();
    both.until(first.id, Status::Dispatched).await;

    assert_eq!(email_only.send(sms("new")).await, Err(SendError::NoProvider));
    assert_eq!(
        email_only.send(keyed("other", sms("new"))).await,
        Err(SendError::NoProvider)
    );
    assert_eq!(email_only.metric("trunkline_invalid_routing_total"), 2);
    assert_eq!(stored(&email_only).await, 1);
    let again = email_only.send(keyed("k", sms("hello"))).await.unwrap();
    assert_eq!(
        again,
        Sent {
            replayed: true,
            ..first
        }
    );
    assert_eq!(
        email_only.send(keyed("k", sms("goodbye"))).await,
        Err(SendError::KeyConflict)
    );
    email_only.sent(email("hello")).await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_beyond_its_limit_is_refused_but_its_repeats_are_answered() {
    let limits = limited(1_000, 2, 1_000);
    let world = World::new(EngineSettings { limits, ..settings() }).await;
    let first = world.send(keyed("k", sms("hello"))).await.unwrap();
    let conflict = world.send_outcome(keyed("k", sms("goodbye"))).await;
    assert_eq!(conflict.result, Err(SendError::KeyConflict));
    assert_eq!(
        conflict.sender.unwrap().remaining,
        1,
        "what came to nothing is given back"
    );
    world.sent(sms("the second")).await;

    let refused = world.send(keyed("unused", sms("the third"))).await;
    let Err(SendError::RateLimited(RateLimited {
        limit: Limit::Sender,
        retry_after,
    })) = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!(retry_after, Duration::from_secs(30));
    assert_eq!(world.metric("trunkline_rate_limited_total{limit=\"sender\"}"), 1);
    let again = world.send(keyed("k", sms("hello"))).await.unwrap();
    assert_eq!((again.id, again.replayed), (first.id, true));
    assert_eq!(world.metric("trunkline_idempotent_replays_total"), 1);

    tokio::time::sleep(retry_after).await;
    assert!(
        !world
            .send(keyed("unused", sms("the third")))
            .await
            .unwrap()
            .replayed
    );
    assert_eq!(stored(&world).await, 3);
}

#[tokio::test(start_paused = true)]
async fn sends_and_webhooks_of_an_address_have_separate_limits() {
    let limits = limited(2, 1_000, 1);
    let world = World::new(EngineSettings { limits, ..settings() }).await;
    let limits = world.engine.limits();
    let [one, other] = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
    let refused = |limit, seconds| {
        let retry_after = Duration::from_secs(seconds);
        Some(RateLimited { limit, retry_after })
    };
    let sends = [one, one, one, other].map(|ip| limits.check_ip(ip).refused);
    assert_eq!(sends, [None, None, refused(Limit::Ip, 30), None]);
    let webhooks = [one, one, other].map(|ip| limits.check_webhook_ip(ip).refused);
    assert_eq!(webhooks, [None, refused(Limit::WebhookIp, 60), None]);
    assert_eq!(world.metric("trunkline_rate_limited_total{limit=\"ip\"}"), 1);
    assert_eq!(
        world.metric("trunkline_rate_limited_total{limit=\"webhook_ip\"}"),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_of_0_is_off() {
    let limits = limited(0, 0, 0);
    let world = World::new(EngineSettings { limits, ..settings() }).await;
    for _ in 0..3 {
        let outcome = world.send_outcome(sms("hello")).await;
        assert!(outcome.result.is_ok());
        assert_eq!(outcome.sender, None);
        let ip = IpAddr::from([192, 0, 2, 1]);
        let off = ClientLimit {
            refused: None,
            allowance: None,
        };
        assert_eq!(world.engine.limits().check_ip(ip), off);
        assert_eq!(world.engine.limits().check_webhook_ip(ip), off);
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_delivered_twice_is_stored_once_and_not_sent() {
    let world = World::new(settings()).await;
    let first = webhook(&world, "hello").await;
    let again = webhook(&world, "hello").await;
    assert_eq!(first, again);
    assert_eq!(world.status(first.id).await, Status::Received);
    assert_eq!(stored(&world).await, 1);
    assert_eq!(
        world.metric("trunkline_messages_accepted_total{channel=\"sms\",direction=\"inbound\"}"),
        1
    );
    let answer = world.send(sms("thank you")).await.unwrap();
    assert_eq!(
        Some(answer.conversation_id),
        first.conversation_id,
        "both directions are one conversation"
    );
    assert_eq!(
        world.metric("trunkline_conversations_reused_total{channel=\"sms\"}"),
        1
    );
}
