//! Performs what happens outside after messages were taken: receipts and replies that settlements stored. Any node may perform
//! them, also twice: a receipt says the same again, and a repeated reply is recognized by its id.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use domain::{
    Address, AddressError, Attachments, Body, Content, FollowUpAction, Message, MessageId, Metadata,
    NewMessage, ProviderMessageId, Receipt, Region, Schedule,
};
use futures_util::{StreamExt, stream};
use store::{DueFollowUp, FollowUpKey, Outage, StoreError, TakenFollowUps};

use crate::{Engine, Node, Rejection};

/// How often a node looks for follow-ups that other nodes stored.
const POLL: Duration = Duration::from_secs(1);
/// Follow-ups taken at once.
const BATCH_MAX: u32 = 32;
/// Messages whose follow-ups are performed at the same time.
const AT_ONCE_MAX: usize = 16;
/// How long a node has for those it took: longer than a batch takes, even if each call of the store uses up its time. If the node
/// dies meanwhile, another one performs them after this time.
const LEASE: Duration = Duration::from_secs(15);

/// Starts the task, if this node plays scripts.
pub(crate) fn start(engine: &Arc<Engine>) {
    let node = Arc::clone(&engine.node);
    if node.routes.scripted().is_none() {
        return;
    }
    let task = run(Arc::downgrade(engine), Arc::clone(&node));
    let task = node.ends_with_drain.track_future(task);
    node.critical_tasks.spawn("follow-ups", task);
}

/// Runs until the node stops.
async fn run(engine: Weak<Engine>, node: Arc<Node>) {
    let mut failing = false;
    while let Some(engine) = engine.upgrade() {
        let performed = engine.perform_due().await;
        drop(engine);
        if let Err(error) = &performed
            && !failing
        {
            tracing::warn!(%error, "scripted receipts and replies cannot be read: they are late until the store answers");
        }
        failing = performed.is_err();
        tokio::select! {
            biased;
            () = node.stop.cancelled() => return,
            () = node.followed.notified() => {}
            () = tokio::time::sleep(performed.unwrap_or(POLL)) => {}
        }
    }
}

impl Engine {
    /// Performs a batch of what is due, and returns how long to wait for the next.
    async fn perform_due(self: &Arc<Self>) -> Result<Duration, StoreError> {
        let TakenFollowUps { due, next_in } = self.node.store.take_follow_ups(BATCH_MAX, LEASE).await?;
        let full = due.len() == BATCH_MAX as usize;
        let mut by_message: BTreeMap<MessageId, Vec<DueFollowUp>> = BTreeMap::new();
        for follow_up in due {
            let of_message = by_message.entry(follow_up.key.message_id).or_default();
            of_message.push(follow_up);
        }
        let done: Vec<Vec<FollowUpKey>> = stream::iter(by_message.into_values())
            .map(|follow_ups| self.perform_in_order(follow_ups))
            .buffer_unordered(AT_ONCE_MAX)
            .collect()
            .await;
        let done = done.concat();
        if !done.is_empty() {
            self.node.store.finish_follow_ups(&done).await?;
        }
        Ok(if full {
            Duration::ZERO
        } else {
            next_in.map_or(POLL, |next_in| next_in.min(POLL))
        })
    }

    /// Performs the follow-ups of one message, and returns those that are done.
    async fn perform_in_order(self: &Arc<Self>, follow_ups: Vec<DueFollowUp>) -> Vec<FollowUpKey> {
        let mut done = Vec::with_capacity(follow_ups.len());
        for follow_up in follow_ups {
            let key = follow_up.key;
            match self.perform(follow_up).await {
                // After a refusal, whose reason is in the log, another try would end alike.
                Ok(()) | Err(Rejection::Refused) => done.push(key),
                Err(_) => break,
            }
        }
        done
    }

    async fn perform(self: &Arc<Self>, due: DueFollowUp) -> Result<(), Rejection> {
        let DueFollowUp {
            key,
            provider,
            provider_message_id,
            due_at,
            action,
        } = due;
        match action {
            FollowUpAction::Receipt { status, error_code } => {
                let receipt = Receipt {
                    provider: Some(provider),
                    provider_message_id,
                    // It finds an attempt without an answer.
                    message_id: Some(key.message_id),
                    status,
                    error_code,
                    at: due_at,
                    received_at: self.node.clock.now(),
                };
                self.receive_receipt(receipt).await.map(drop)
            }
            FollowUpAction::Reply { body } => {
                let answered = match self.node.store.message(key.message_id).await {
                    Ok(answered) => answered,
                    Err(StoreError::Refused(_)) => return Err(Rejection::Refused),
                    Err(_) => return Err(Rejection::Unavailable(Outage::Away)),
                };
                let region = self.settings.dispatch.default_region;
                // Neither fails: the message and its addresses were read when it was accepted.
                let reply = answered.and_then(|answered| reply(&answered.message, body, region).ok());
                let Some(reply) = reply else {
                    return Err(Rejection::Refused);
                };
                let payload = format!(r#"{{"in_reply_to":"{}"}}"#, key.message_id).into();
                self.receive(reply, provider, reply_id(key), payload)
                    .await
                    .map(drop)
            }
        }
    }
}

/// The same for each try, so that a reply is stored once.
fn reply_id(key: FollowUpKey) -> ProviderMessageId {
    let FollowUpKey {
        message_id,
        attempt,
        place,
    } = key;
    let id = format!("reply-{message_id}-{attempt}-{place}");
    id.parse().expect("a short id without control characters")
}

/// What the recipient of a message answers to its sender.
fn reply(answered: &Message, body: Body, region: Option<Region>) -> Result<NewMessage, AddressError> {
    let answered = &answered.content;
    let channel = answered.channel;
    let from = Address::recipient(channel, answered.to.as_str(), region)?;
    let to = Address::sender(channel, answered.from.as_str(), region)?;
    let content = Content {
        channel,
        from: from.given,
        to: to.given,
        subject: None,
        body,
        attachments: Attachments::default(),
        metadata: Metadata::default(),
    };
    Ok(NewMessage {
        from: from.participant,
        to: to.participant,
        content: Arc::new(content),
        timestamp: None,
        schedule: Schedule::default(),
    })
}
