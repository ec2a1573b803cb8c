use std::time::Duration;

use domain::{Direction, Event, EventType, Message, MessageId, Page, PageRequest, Status};
use futures_util::{FutureExt, future::BoxFuture};
use store::{MessageDetail, MessageFilter, StoreError};
use tokio::time::{sleep, timeout};

use crate::{Engine, events::Following};

/// Listings that waits read at the same time. The store reads more at once, so that others find a connection.
pub(crate) const WAIT_QUERIES_MAX: usize = 3;
/// The shortest time between two reads of one wait on a listing.
const LISTING_INTERVAL_MIN: Duration = Duration::from_millis(25);
/// How often a wait for `pending` reads: no event says that a scheduled message is due, or that a dead letter is redriven.
const PENDING_INTERVAL: Duration = Duration::from_millis(250);
/// How long a wait leaves a failing store alone.
const FAILURE_PAUSE: Duration = Duration::from_millis(200);

/// What was read last, and whether it is what was waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waited<T> {
    pub value: T,
    pub met: bool,
}

/// A read of a wait.
struct Look<T> {
    waited: Waited<T>,
    /// When to read again without an event.
    again_in: Option<Duration>,
}

impl Engine {
    /// Waits until a message has one of these statuses, for at most `within`; less if the node stops. Then the answer is the
    /// message as it is by that time. `None` for an unknown message. Each read takes a `room` before it, and drops it with what
    /// it has read, so a wait keeps nothing in memory. The last one is returned with the answer.
    ///
    /// # Errors
    /// When the message cannot be read at first or at last.
    pub async fn wait_for_message<'a, R: Send, E: From<StoreError> + Send>(
        &self,
        id: MessageId,
        until: &[Status],
        within: Duration,
        room: &(dyn Fn() -> BoxFuture<'a, Result<R, E>> + Sync),
    ) -> Result<Option<Waited<(MessageDetail, R)>>, E> {
        let pending = until.contains(&Status::Pending);
        let look = || {
            let look = async {
                let room = room().await?;
                let detail = self.node.store.message(id).await?;
                let due_in = detail
                    .as_ref()
                    .filter(|_| pending)
                    .map(|detail| self.due_in(detail));
                // Nothing more is known of an unknown message later.
                let met = |detail: &MessageDetail| until.contains(&detail.message.status);
                Ok::<_, E>(Look {
                    again_in: due_in.map(|due_in| due_in.min(PENDING_INTERVAL)),
                    waited: Waited {
                        met: detail.as_ref().is_none_or(met),
                        value: detail.map(|detail| (detail, room)),
                    },
                })
            };
            look.boxed()
        };
        let matters = |event: &Event| event.subject.message_id() == Some(id);
        let Waited { value, met } = self.wait(within, Duration::ZERO, &matters, &look).await?;
        Ok(value.map(|value| Waited { value, met }))
    }

    /// Waits until a listing has at least `count` messages, as [`Engine::wait_for_message`] does.
    ///
    /// # Errors
    /// When the listing cannot be read at first or at last.
    pub async fn wait_for_messages<'a, R: Send, E: From<StoreError> + Send>(
        &self,
        filter: &MessageFilter,
        page: &PageRequest<MessageId>,
        count: u64,
        within: Duration,
        room: &(dyn Fn() -> BoxFuture<'a, Result<R, E>> + Sync),
    ) -> Result<Waited<(Page<Message, MessageId>, R)>, E> {
        let pending = filter.status == Some(Status::Pending);
        let look = || {
            let look = async {
                // The semaphore is never closed.
                let _query = self.node.wait_queries.acquire().await;
                let room = room().await?;
                let page = self.node.store.messages(filter, page).await?;
                Ok::<_, E>(Look {
                    again_in: pending.then_some(PENDING_INTERVAL),
                    waited: Waited {
                        met: page.total.count >= count || page.total.capped,
                        value: (page, room),
                    },
                })
            };
            look.boxed()
        };
        let matters = |event: &Event| may_add(filter, event);
        self.wait(within, LISTING_INTERVAL_MIN, &matters, &look).await
    }

    /// Looks until what is waited for is there, after events that matter, and once more when the time is over.
    async fn wait<'a, T: Send, E: Send>(
        &self,
        within: Duration,
        interval_min: Duration,
        matters: &(dyn Fn(&Event) -> bool + Sync),
        look: &(dyn Fn() -> BoxFuture<'a, Result<Look<T>, E>> + Sync),
    ) -> Result<Waited<T>, E> {
        let first = look().await?.waited;
        if first.met {
            return Ok(first);
        }
        drop(first);
        let looking = async {
            let following = self.node.events.follow();
            let mut place = following.place().await?;
            loop {
                let again_in = match look().await {
                    Ok(Look { waited, .. }) if waited.met => return Some(waited),
                    Ok(Look { again_in, .. }) => again_in,
                    Err(_) => {
                        sleep(FAILURE_PAUSE).await;
                        continue;
                    }
                };
                sleep(interval_min).await;
                until_event(&following, &mut place, matters, again_in).await?;
            }
        };
        let under_way = self.node.metrics.wait_began();
        let found = timeout(within, looking).await.ok().flatten();
        drop(under_way);
        let last = match found {
            Some(met) => met,
            None => look().await?.waited,
        };
        self.node.metrics.count_wait(last.met);
        Ok(last)
    }

    /// How long until a scheduled message is pending.
    fn due_in(&self, detail: &MessageDetail) -> Duration {
        let scheduled = detail
            .waiting
            .filter(|_| detail.message.status == Status::Scheduled);
        let due_in = scheduled.map(|waiting| waiting.due_at.saturating_since(self.node.clock.now()));
        due_in.unwrap_or(Duration::MAX).max(LISTING_INTERVAL_MIN)
    }
}

/// Waits until an event after a place matters, or `again_in` has passed. `None` when waits end.
async fn until_event(
    following: &Following<'_>,
    place: &mut domain::EventId,
    matters: impl Fn(&Event) -> bool,
    again_in: Option<Duration>,
) -> Option<()> {
    let event = following.until(place, matters);
    match again_in {
        None => event.await.then_some(()),
        Some(again_in) => timeout(again_in, event).await.unwrap_or(true).then_some(()),
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
