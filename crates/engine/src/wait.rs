use std::time::Duration;

use domain::{Direction, Event, EventType, Message, MessageId, Page, PageRequest, Status};
use store::{MessageDetail, MessageFilter, StoreError};
use tokio::time::{sleep, timeout};

use crate::{Engine, events::Following};

/// Listings that waits read at the same time.
pub(crate) const WAIT_QUERIES_MAX: usize = 8;
/// The shortest time between two reads of one wait on a listing.
const LISTING_INTERVAL_MIN: Duration = Duration::from_millis(25);
/// How long a wait leaves a failing store alone.
const FAILURE_PAUSE: Duration = Duration::from_millis(200);

/// What was read last, and whether it is what was waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waited<T> {
    pub value: T,
    pub met: bool,
}

impl Engine {
    /// Waits until a message has one of these statuses, for at most `within`; less if the node stops. `None` for an unknown
    /// message.
    ///
    /// # Errors
    /// When the store cannot be read at first. Later failures only delay the answer.
    pub async fn wait_for_message(
        &self,
        id: MessageId,
        until: &[Status],
        within: Duration,
    ) -> Result<Option<Waited<MessageDetail>>, StoreError> {
        let met = |detail: &MessageDetail| until.contains(&detail.message.status);
        let Some(mut value) = self.node.store.message(id).await? else {
            return Ok(None);
        };
        if met(&value) {
            return Ok(Some(Waited { value, met: true }));
        }
        let matters = |event: &Event| event.subject.message_id() == Some(id);
        let reading = async {
            let following = self.node.events.follow();
            let mut place = following.place().await?;
            loop {
                match self.node.store.message(id).await {
                    Ok(Some(detail)) => {
                        value = detail;
                        if met(&value) {
                            return Some(());
                        }
                        self.until_event(&following, &mut place, matters, self.due_in(&value))
                            .await?;
                    }
                    Ok(None) => return None,
                    Err(_) => sleep(FAILURE_PAUSE).await,
                }
            }
        };
        let met = self.wait_at_most(within, reading).await;
        Ok(Some(Waited { value, met }))
    }

    /// Waits until a listing has at least `count` messages, for at most `within`; less if the node stops.
    ///
    /// # Errors
    /// When the store cannot be read at first. Later failures only delay the answer.
    pub async fn wait_for_messages(
        &self,
        filter: &MessageFilter,
        page: &PageRequest<MessageId>,
        count: u64,
        within: Duration,
    ) -> Result<Waited<Page<Message, MessageId>>, StoreError> {
        let met = |page: &Page<Message, MessageId>| page.total.count >= count || page.total.capped;
        let mut value = self.node.store.messages(filter, page).await?;
        if met(&value) {
            return Ok(Waited { value, met: true });
        }
        let matters = |event: &Event| may_add(filter, event);
        let reading = async {
            let following = self.node.events.follow();
            let mut place = following.place().await?;
            loop {
                let query = self.node.wait_queries.acquire().await.ok()?;
                let listed = self.node.store.messages(filter, page).await;
                drop(query);
                match listed {
                    Ok(page) => {
                        value = page;
                        if met(&value) {
                            return Some(());
                        }
                        sleep(LISTING_INTERVAL_MIN).await;
                        self.until_event(&following, &mut place, matters, None).await?;
                    }
                    Err(_) => sleep(FAILURE_PAUSE).await,
                }
            }
        };
        let met = self.wait_at_most(within, reading).await;
        Ok(Waited { value, met })
    }

    /// Whether a wait succeeds in time.
    async fn wait_at_most(&self, within: Duration, reading: impl Future<Output = Option<()>>) -> bool {
        let _under_way = self.node.metrics.wait_began();
        let met = timeout(within, reading).await.ok().flatten().is_some();
        self.node.metrics.count_wait(met);
        met
    }

    /// Waits until an event after a place matters, or `due_in` has passed. `None` when waits end.
    async fn until_event(
        &self,
        following: &Following<'_>,
        place: &mut domain::EventId,
        matters: impl Fn(&Event) -> bool,
        due_in: Option<Duration>,
    ) -> Option<()> {
        let event = following.until(place, matters);
        match due_in {
            None => event.await.then_some(()),
            Some(due_in) => timeout(due_in, event).await.unwrap_or(true).then_some(()),
        }
    }

    /// How long until a scheduled message is pending: no event says so.
    fn due_in(&self, detail: &MessageDetail) -> Option<Duration> {
        let waiting = detail
            .waiting
            .filter(|_| detail.message.status == Status::Scheduled)?;
        let due_in = waiting.due_at.saturating_since(self.node.clock.now());
        Some(due_in.max(LISTING_INTERVAL_MIN))
    }
}

/// Whether an event may have added a message to a listing.
fn may_add(filter: &MessageFilter, event: &Event) -> bool {
    let status = match event.kind {
        EventType::MessageAccepted => None,
        EventType::MessageReceived => Some(Status::Received),
        EventType::MessageDispatched => Some(Status::Dispatched),
        EventType::MessageDelivered => Some(Status::Delivered),
        EventType::MessageUndelivered => Some(Status::Undelivered),
        EventType::MessageFailed => Some(Status::Failed),
        EventType::MessageCanceled => Some(Status::Canceled),
        EventType::ConversationCreated | EventType::WebhookEndpointDisabled => return false,
    };
    let direction = if status == Some(Status::Received) {
        Direction::Inbound
    } else {
        Direction::Outbound
    };
    let conversation_id = event.subject.conversation_id();
    filter
        .status
        .is_none_or(|wanted| status.is_none_or(|status| status == wanted))
        && filter.direction.is_none_or(|wanted| wanted == direction)
        && filter
            .conversation_id
            .is_none_or(|wanted| Some(wanted) == conversation_id)
}
