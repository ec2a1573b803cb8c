use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    ConversationId, ConversationKey, ConversationPosition, DeliveryStatus, EventId, LeaseToken, Message,
    MessageId, Outcome, Page, PageRequest, ProviderName, Receipt, ReceiptPosition, ThreadPosition,
    WebhookEndpointId,
};
use store::{
    Accept, Accepted, Accepting, AppliedReceipt, Archive, Assigned, Canceled, Checkpoint, ClaimLimits,
    Claims, ConversationFilter, DeadLetter, Endpoint, EndpointChange, EventLog, Events, EventsRead,
    FollowUpKey, FollowUps, IdempotentRequest, Import, Kind, LeasedEndpoint, ListedConversation,
    MessageDetail, MessageFilter, NewEndpoint, Outage, Outbox, PendingLimits, PendingPage, QueueDepth, Reads,
    Receipts, RedriveFilter, RedriveTerms, Redriven, RedrivenBatch, ReplayFrom, Settled, Settlement, Store,
    StoreError, StoredReceipt, TakenFollowUps, UnservedRule, WebhookDelivery, Webhooks, WithoutConversation,
};
use tokio::sync::watch;

/// The longest wait for a call that a test expects.
const ASKED_WITHIN: Duration = Duration::from_secs(20);

#[allow(dead_code, reason = "the engine's tests break what these do not")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    None,
    /// It cannot be reached.
    Away,
    /// It panics.
    Panics,
    /// It is unavailable for this reason.
    Unavailable(Outage),
    /// Accepting takes until the fault is over.
    Slow,
    /// It refuses every accept for good.
    Refuses,
    /// It loses the answer to an accept.
    Silent {
        /// Whether the accept took place.
        stored: bool,
        /// Whether it can be looked up afterwards.
        found: bool,
    },
    /// It loses the answer to an accept, which takes place when the test lets it [land](FaultyStore::land).
    Late,
    /// It loses the answer to a redrive that took place.
    SilentRedrive,
    /// It cannot be reached to claim.
    ClaimsNothing,
    /// It cannot be reached to settle.
    SettlesNothing,
    /// It refuses for good to settle attempts that ended in an error.
    RefusesErrors,
    /// It refuses for good to settle attempts that succeeded.
    RefusesSuccesses,
    /// It cannot be reached to sweep.
    SweepsNothing,
    /// It cannot be reached to delete follow-ups that are done.
    FinishesNothing,
    /// It cannot be reached to read a message.
    ReadsNoMessage,
    /// It cannot be reached to read events.
    ReadsNoEvents,
    /// It cannot be reached to load pending deliveries.
    LoadsNoDeliveries,
}

/// A store that fails as a test demands, and otherwise does what the one behind it does.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    fault: watch::Sender<Fault>,
    /// Calls of `accept`.
    batches: watch::Sender<usize>,
    /// Leases passed to `release`.
    releases: watch::Sender<usize>,
    /// Calls of `events` and of `messages`.
    event_reads: AtomicUsize,
    listings: AtomicUsize,
    /// Raw inbound payloads.
    payloads: Mutex<Vec<String>>,
    /// Late accepts that are not stored yet.
    late: Mutex<Vec<Accept>>,
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            fault: watch::channel(Fault::None).0,
            batches: watch::channel(0).0,
            releases: watch::channel(0).0,
            event_reads: AtomicUsize::new(0),
            listings: AtomicUsize::new(0),
            payloads: Mutex::default(),
            late: Mutex::default(),
        }
    }

    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Stores the late accepts, and returns their ids.
    pub async fn land(&self) -> Vec<MessageId> {
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        self.inner.accept(&late).await.unwrap();
        late.iter().map(|accept| accept.id).collect()
    }

    /// The raw payloads of inbound messages, in order.
    pub fn payloads(&self) -> Vec<String> {
        self.payloads.lock().unwrap().clone()
    }

    /// Reads of events so far.
    #[allow(dead_code, reason = "the engine's tests count them")]
    pub fn event_reads(&self) -> usize {
        self.event_reads.load(Ordering::Relaxed)
    }

    /// Reads of listings of messages so far.
    #[allow(dead_code, reason = "the engine's tests count them")]
    pub fn listings(&self) -> usize {
        self.listings.load(Ordering::Relaxed)
    }

    /// Waits for so many calls of `accept`.
    pub async fn batches(&self, count: usize) {
        let mut batches = self.batches.subscribe();
        batches.wait_for(|batches| *batches >= count).await.unwrap();
    }

    /// Waits until so many leases were passed to `release`.
    pub async fn releases(&self, count: usize) {
        let mut releases = self.releases.subscribe();
        let asked = releases.wait_for(|releases| *releases >= count);
        tokio::time::timeout(ASKED_WITHIN, asked).await.unwrap().unwrap();
    }

    fn log_reached(&self) -> Result<&dyn Store, StoreError> {
        if self.fault() == Fault::ReadsNoEvents {
            return Err(StoreError::unavailable(Outage::Away, "no events"));
        }
        self.reached()
    }

    fn fault(&self) -> Fault {
        *self.fault.borrow()
    }

    fn reached(&self) -> Result<&dyn Store, StoreError> {
        match self.fault() {
            Fault::Away => Err(away()),
            Fault::Panics => panic!("a test panics"),
            Fault::Unavailable(outage) => Err(StoreError::unavailable(outage, "a test broke it")),
            _ => Ok(self.inner.as_ref()),
        }
    }
}

fn away() -> StoreError {
    StoreError::unavailable(Outage::Away, "a test took it away")
}

fn refused() -> StoreError {
    StoreError::Refused("a test refuses".to_owned())
}

fn lost() -> StoreError {
    StoreError::OutcomeUnknown("a test lost the answer".to_owned())
}

#[async_trait]
impl Accepting for FaultyStore {
    async fn accept(&self, batch: &[Accept]) -> Result<Vec<Accepted>, StoreError> {
        self.batches.send_modify(|batches| *batches += 1);
        for accept in batch {
            if let Kind::Receive { payload, .. } = &accept.kind {
                self.payloads.lock().unwrap().push(payload.to_string());
            }
        }
        match self.fault() {
            Fault::Slow => {
                let mut fault = self.fault.subscribe();
                fault.wait_for(|fault| *fault != Fault::Slow).await.unwrap();
                self.reached()?.accept(batch).await
            }
            Fault::Late => {
                self.late.lock().unwrap().extend_from_slice(batch);
                Err(lost())
            }
            Fault::Refuses => Err(refused()),
            Fault::Silent { stored, .. } => {
                if stored {
                    self.inner.accept(batch).await?;
                }
                Err(lost())
            }
            _ => self.reached()?.accept(batch).await,
        }
    }

    async fn find_accepted(&self, batch: &[Accept]) -> Result<Vec<Option<Accepted>>, StoreError> {
        match self.fault() {
            Fault::Silent { found: false, .. } => Err(lost()),
            _ => self.reached()?.find_accepted(batch).await,
        }
    }

    async fn find_repeated(&self, request: &IdempotentRequest) -> Result<Option<Accepted>, StoreError> {
        self.reached()?.find_repeated(request).await
    }
}

#[async_trait]
impl Outbox for FaultyStore {
    async fn claim(
        &self,
        provider: &ProviderName,
        limits: ClaimLimits,
        lease: Duration,
    ) -> Result<Claims, StoreError> {
        match self.fault() {
            Fault::ClaimsNothing => Err(away()),
            _ => self.reached()?.claim(provider, limits, lease).await,
        }
    }

    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let tried = batch.iter().filter_map(|settlement| settlement.tried.as_ref());
        let mut outcomes = tried.map(|tried| tried.outcome);
        match self.fault() {
            Fault::SettlesNothing => Err(away()),
            Fault::RefusesErrors if outcomes.any(|outcome| outcome == Outcome::Error) => Err(refused()),
            Fault::RefusesSuccesses if outcomes.any(|outcome| outcome == Outcome::Success) => Err(refused()),
            _ => self.reached()?.settle(batch).await,
        }
    }

    async fn release(&self, leases: &[(MessageId, LeaseToken)]) -> Result<Vec<MessageId>, StoreError> {
        self.releases.send_modify(|releases| *releases += leases.len());
        self.reached()?.release(leases).await
    }

    async fn announce(&self, serving: &[ProviderName], gap_max: Duration) -> Result<(), StoreError> {
        self.reached()?.announce(serving, gap_max).await
    }

    async fn sweep(
        &self,
        serving: &[ProviderName],
        unserved: UnservedRule,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        match self.fault() {
            Fault::SweepsNothing => Err(away()),
            _ => self.reached()?.sweep(serving, unserved, limit).await,
        }
    }

    async fn redrive(&self, id: MessageId, terms: &RedriveTerms) -> Result<Redriven, StoreError> {
        let redriven = self.reached()?.redrive(id, terms).await?;
        match self.fault() {
            Fault::SilentRedrive => Err(lost()),
            _ => Ok(redriven),
        }
    }

    async fn redrive_matching(
        &self,
        filter: &RedriveFilter,
        terms: &RedriveTerms,
        limit: u32,
    ) -> Result<RedrivenBatch, StoreError> {
        self.reached()?.redrive_matching(filter, terms, limit).await
    }

    async fn cancel(&self, id: MessageId) -> Result<Canceled, StoreError> {
        self.reached()?.cancel(id).await
    }

    async fn queue_depths(&self) -> Result<Vec<QueueDepth>, StoreError> {
        self.reached()?.queue_depths().await
    }
}

#[async_trait]
impl Reads for FaultyStore {
    async fn message(&self, id: MessageId) -> Result<Option<MessageDetail>, StoreError> {
        if self.fault() == Fault::ReadsNoMessage {
            return Err(StoreError::unavailable(Outage::Away, "no message is read"));
        }
        self.reached()?.message(id).await
    }

    async fn messages(
        &self,
        filter: &MessageFilter,
        page: &PageRequest<MessageId>,
    ) -> Result<Page<Message, MessageId>, StoreError> {
        self.listings.fetch_add(1, Ordering::Relaxed);
        self.reached()?.messages(filter, page).await
    }

    async fn conversation(&self, id: ConversationId) -> Result<Option<ListedConversation>, StoreError> {
        self.reached()?.conversation(id).await
    }

    async fn conversations(
        &self,
        filter: &ConversationFilter,
        page: &PageRequest<ConversationPosition>,
    ) -> Result<Page<ListedConversation, ConversationPosition>, StoreError> {
        self.reached()?.conversations(filter, page).await
    }

    async fn thread(
        &self,
        id: ConversationId,
        page: &PageRequest<ThreadPosition>,
    ) -> Result<Option<Page<Message, ThreadPosition>>, StoreError> {
        self.reached()?.thread(id, page).await
    }
}

#[async_trait]
impl FollowUps for FaultyStore {
    async fn take_follow_ups(&self, limit: u32, lease: Duration) -> Result<TakenFollowUps, StoreError> {
        self.reached()?.take_follow_ups(limit, lease).await
    }

    async fn finish_follow_ups(&self, done: &[FollowUpKey]) -> Result<(), StoreError> {
        if self.fault() == Fault::FinishesNothing {
            return Err(away());
        }
        self.reached()?.finish_follow_ups(done).await
    }
}

#[async_trait]
impl Receipts for FaultyStore {
    async fn store_receipt(&self, receipt: &Receipt) -> Result<Option<AppliedReceipt>, StoreError> {
        self.reached()?.store_receipt(receipt).await
    }

    async fn match_receipts(&self, within: Duration, limit: u32) -> Result<Vec<AppliedReceipt>, StoreError> {
        self.reached()?.match_receipts(within, limit).await
    }

    async fn receipts(
        &self,
        matched: Option<bool>,
        page: &PageRequest<ReceiptPosition>,
    ) -> Result<Page<StoredReceipt, ReceiptPosition>, StoreError> {
        self.reached()?.receipts(matched, page).await
    }

    async fn purge_receipts(&self, kept: Duration, limit: u32) -> Result<u64, StoreError> {
        self.reached()?.purge_receipts(kept, limit).await
    }
}

#[async_trait]
impl Events for FaultyStore {
    async fn events(&self, after: EventId, limit: u32) -> Result<EventsRead, StoreError> {
        self.event_reads.fetch_add(1, Ordering::Relaxed);
        self.log_reached()?.events(after, limit).await
    }

    async fn event_log(&self) -> Result<EventLog, StoreError> {
        self.log_reached()?.event_log().await
    }

    async fn purge_events(&self, kept: Duration, limit: u32) -> Result<u64, StoreError> {
        self.reached()?.purge_events(kept, limit).await
    }
}

#[async_trait]
impl Webhooks for FaultyStore {
    async fn create_endpoint(
        &self,
        endpoint: &NewEndpoint,
        max: u32,
    ) -> Result<Option<Endpoint>, StoreError> {
        self.reached()?.create_endpoint(endpoint, max).await
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        self.reached()?.endpoints().await
    }

    async fn endpoint(&self, id: WebhookEndpointId) -> Result<Option<Endpoint>, StoreError> {
        self.reached()?.endpoint(id).await
    }

    async fn change_endpoint(
        &self,
        id: WebhookEndpointId,
        change: &EndpointChange,
    ) -> Result<Option<Endpoint>, StoreError> {
        self.reached()?.change_endpoint(id, change).await
    }

    async fn delete_endpoint(&self, id: WebhookEndpointId) -> Result<bool, StoreError> {
        self.reached()?.delete_endpoint(id).await
    }

    async fn replay(&self, id: WebhookEndpointId, from: ReplayFrom) -> Result<Option<Endpoint>, StoreError> {
        self.reached()?.replay(id, from).await
    }

    async fn lease_endpoints(&self, lease: Duration, max: u32) -> Result<Vec<LeasedEndpoint>, StoreError> {
        self.reached()?.lease_endpoints(lease, max).await
    }

    async fn pending_deliveries(
        &self,
        id: WebhookEndpointId,
        token: LeaseToken,
        after: EventId,
        limits: PendingLimits,
    ) -> Result<Option<PendingPage>, StoreError> {
        let store = self.reached()?;
        if self.fault() == Fault::LoadsNoDeliveries {
            return Err(StoreError::unavailable(Outage::Away, "no deliveries"));
        }
        store.pending_deliveries(id, token, after, limits).await
    }

    async fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<bool, StoreError> {
        self.reached()?.checkpoint(checkpoint).await
    }

    async fn release_endpoint(&self, id: WebhookEndpointId, token: LeaseToken) -> Result<(), StoreError> {
        self.reached()?.release_endpoint(id, token).await
    }

    async fn deliveries(
        &self,
        id: WebhookEndpointId,
        status: Option<DeliveryStatus>,
        page: &PageRequest<EventId>,
    ) -> Result<Option<Page<WebhookDelivery, EventId>>, StoreError> {
        self.reached()?.deliveries(id, status, page).await
    }

    async fn purge_deliveries(&self, limit: u32) -> Result<u64, StoreError> {
        self.reached()?.purge_deliveries(limit).await
    }
}

#[async_trait]
impl Archive for FaultyStore {
    async fn import(&self, batch: &[Import]) -> Result<u64, StoreError> {
        self.reached()?.import(batch).await
    }

    async fn count_without_conversation(&self) -> Result<u64, StoreError> {
        self.reached()?.count_without_conversation().await
    }

    async fn without_conversation(
        &self,
        after: Option<MessageId>,
        limit: u32,
    ) -> Result<Vec<WithoutConversation>, StoreError> {
        self.reached()?.without_conversation(after, limit).await
    }

    async fn assign(&self, batch: &[(MessageId, ConversationKey)]) -> Result<Assigned, StoreError> {
        self.reached()?.assign(batch).await
    }

    async fn purge_idempotency_keys(&self, kept: Duration, limit: u32) -> Result<u64, StoreError> {
        self.reached()?.purge_idempotency_keys(kept, limit).await
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        self.reached()?.migrate().await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.reached()?.probe().await
    }
}
