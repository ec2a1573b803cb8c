//! Nodes that play the scripts of recipients, and messages to them.

use std::{path::Path, sync::Arc, time::Duration};

use domain::{Attempt, Channel, Clock, Direction, Message, MessageId, Outcome, PageRequest, Start};
use store::{MessageFilter, Store};
use store_model::Memory;
use trunkline_engine::EngineSettings;

use super::{DrivenClock, Send, World, message, settings};

pub const SENDER: &str = "+12016661234";
pub const SHOP: &str = "shop@example.com";
/// The call timeout of [`settings`].
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);
pub const BOTH: &[Channel] = &[Channel::Sms, Channel::Email];

pub fn scripted_world() -> World {
    world_with(settings(), BOTH, None)
}

pub fn world_with(settings: EngineSettings, serving: &[Channel], ledger: Option<&Path>) -> World {
    let clock: Arc<dyn Clock> = Arc::new(DrivenClock::new());
    let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::clone(&clock)));
    World::with_scripts(settings, store, clock, serving, ledger)
}

pub fn text_to(number: u32) -> Send {
    message(Channel::Sms, SENDER, &format!("+120255501{number:02}"), "hello")
}

pub fn email_to(word: &str) -> Send {
    message(Channel::Email, SHOP, &format!("{word}@example.test"), "hello")
}

/// A row of the table, in all its spellings.
pub fn to_row(number: u32, word: &str) -> [Send; 4] {
    let to = format!("+1 (999) 555-01{number:02}");
    [
        text_to(number),
        message(Channel::Mms, "ACME", &to, "hello"),
        email_to(word),
        email_to(&format!("{word}.case-7")),
    ]
}

pub fn recorded(attempts: &[Attempt]) -> Vec<(Outcome, Option<&str>)> {
    attempts
        .iter()
        .map(|attempt| {
            let code = attempt.error_code.as_ref().map(domain::ErrorCode::as_str);
            (attempt.outcome, code)
        })
        .collect()
}

pub const SUCCESS: (Outcome, Option<&str>) = (Outcome::Success, None);
pub const ERROR: (Outcome, Option<&str>) = (Outcome::Error, Some("provider_error"));
pub const REJECTED: (Outcome, Option<&str>) = (Outcome::Rejected, Some("provider_rejected"));
pub const TIMEOUT: (Outcome, Option<&str>) = (Outcome::Timeout, Some("timeout"));
pub const PUSHED_BACK: (Outcome, Option<&str>) = (Outcome::RateLimited, Some("provider_rate_limited"));

pub async fn replies(world: &World, to: MessageId) -> Vec<Message> {
    let (conversation_id, _) = world.detail(to).await.message.thread.unwrap();
    let filter = MessageFilter {
        direction: Some(Direction::Inbound),
        conversation_id: Some(conversation_id),
        ..MessageFilter::default()
    };
    let page = PageRequest::new(100, Start::First);
    world.store.messages(&filter, &page).await.unwrap().items
}

/// Lets everything happen that still can.
pub async fn settle_down() {
    tokio::time::sleep(Duration::from_secs(120)).await;
}
