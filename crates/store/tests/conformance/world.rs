use std::{sync::Arc, time::Duration};

use domain::{
    Clock, Conversation, ConversationId, Entropy, Event, EventType, LeaseToken, Message, MessageId, Receipt,
    ReceiptStatus, Status, SystemClock, Timestamp,
};
use store_model::Memory;
use tempfile::TempDir;
use throwaway_postgres::Cluster;
use trunkline_store::{
    Accept, Accepted, Claimed, CommitReport, DeadLetter, GroupCommit, GroupCommitLimits, MessageDetail,
    Postgres, Settled, Settlement, Sqlite, Store,
};

use crate::{
    builders::{AT_ONCE, Draft, Held, SMS, name, up_to},
    driven_clock::DrivenClock,
    walks::{all_conversations, all_events, all_messages, check_conversations, whole_thread},
};

/// Which store a case runs against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Memory,
    Sqlite,
    SqliteMemory,
    Postgres,
}

/// PostgreSQL, with the real time: it has a clock of its own.
pub(crate) fn open_postgres(url: &str) -> Result<Postgres, String> {
    Postgres::open(url, Arc::new(SystemClock::new()))
}

/// An empty, migrated store with everything a case needs around it.
pub(crate) struct World {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<DrivenClock>,
    entropy: Entropy,
    place: Place,
}

/// Where the store keeps its rows.
enum Place {
    /// In this process alone.
    Memory,
    Sqlite(TempDir),
    Postgres(String),
}

impl World {
    pub(crate) async fn create(kind: Kind) -> Self {
        let clock = Arc::new(match kind {
            Kind::Postgres => DrivenClock::of_today(),
            Kind::Memory | Kind::Sqlite | Kind::SqliteMemory => DrivenClock::new(),
        });
        let (store, place): (Arc<dyn Store>, Place) = match kind {
            Kind::Memory => (Arc::new(Memory::new(clock.clone())), Place::Memory),
            Kind::SqliteMemory => (Arc::new(Sqlite::in_memory(clock.clone()).unwrap()), Place::Memory),
            Kind::Sqlite => {
                let directory = TempDir::new().unwrap();
                let store = Sqlite::open(&directory.path().join("trunkline.db"), clock.clone()).unwrap();
                (Arc::new(store), Place::Sqlite(directory))
            }
            Kind::Postgres => {
                let url = Cluster::shared().create_database();
                (Arc::new(open_postgres(&url).unwrap()), Place::Postgres(url))
            }
        };
        store.migrate().await.unwrap();
        Self {
            store,
            clock,
            entropy: Entropy::from_seed(1),
            place,
        }
    }

    /// What a second node sees: on PostgreSQL a store of its own on the same database. The other two belong to one
    /// node, whose tasks share its store.
    pub(crate) fn another_node(&self) -> Arc<dyn Store> {
        match &self.place {
            Place::Memory | Place::Sqlite(_) => Arc::clone(&self.store),
            Place::Postgres(url) => Arc::new(open_postgres(url).unwrap()),
        }
    }

    /// Two nodes that work at the same time. Should they lock in a circle, PostgreSQL leaves them there instead of
    /// failing one, whose statement would be run again as if nothing had been: so the circle shows.
    pub(crate) async fn two_nodes(&self) -> [Arc<dyn Store>; 2] {
        if let Place::Postgres(url) = &self.place {
            let (_, database) = url.rsplit_once('/').unwrap();
            let statement = format!("alter database {database} set deadlock_timeout = '1h'");
            connect(url).await.batch_execute(&statement).await.unwrap();
        }
        [self.another_node(), self.another_node()]
    }

    /// Where the rows are, of a store in PostgreSQL.
    pub(crate) fn postgres_url(&self) -> &str {
        match &self.place {
            Place::Postgres(url) => url,
            Place::Memory | Place::Sqlite(_) => panic!("not on PostgreSQL"),
        }
    }

    /// Runs SQL behind the store's back.
    pub(crate) async fn execute(&self, postgres: &str, sqlite: &str) {
        self.try_execute(postgres, sqlite).await.unwrap();
    }

    /// The same, or what the database has against it.
    pub(crate) async fn try_execute(&self, postgres: &str, sqlite: &str) -> Result<(), String> {
        match &self.place {
            Place::Memory => panic!("memory knows no SQL"),
            Place::Sqlite(directory) => {
                let connection = rusqlite::Connection::open(directory.path().join("trunkline.db")).unwrap();
                connection
                    .execute_batch(sqlite)
                    .map_err(|error| error.to_string())
            }
            Place::Postgres(url) => {
                let refused = connect(url).await.batch_execute(postgres).await;
                refused.map_err(|error| {
                    error
                        .as_db_error()
                        .map_or_else(|| error.to_string(), ToString::to_string)
                })
            }
        }
    }

    /// The texts that a query, the same on both databases, returns in its only column.
    pub(crate) async fn query(&self, sql: &str) -> Vec<String> {
        match &self.place {
            Place::Memory => panic!("memory knows no SQL"),
            Place::Sqlite(directory) => {
                let connection = rusqlite::Connection::open(directory.path().join("trunkline.db")).unwrap();
                let mut statement = connection.prepare(sql).unwrap();
                let rows = statement.query_map([], |row| row.get(0)).unwrap();
                rows.collect::<Result<_, _>>().unwrap()
            }
            Place::Postgres(url) => {
                let rows = connect(url).await.query(sql, &[]).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
        }
    }

    /// A new id, greater than all before it.
    pub(crate) fn mint(&self) -> (MessageId, Timestamp) {
        // Two ids of one microsecond would be in random order.
        self.clock.advance(Duration::from_micros(1));
        let now = self.clock.now();
        (MessageId::mint(now, &self.entropy), now)
    }

    pub(crate) fn outbound(&self) -> Draft {
        let (id, now) = self.mint();
        Draft::outbound(id, now)
    }

    pub(crate) fn inbound(&self, provider_message_id: &str) -> Draft {
        let (id, now) = self.mint();
        Draft::inbound(id, now, provider_message_id)
    }

    /// The next random number below `bound`.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.entropy.next_u64() % bound
    }

    pub(crate) fn group_commit(&self, queue_max: usize, batch_max: usize) -> GroupCommit {
        let limits = GroupCommitLimits { queue_max, batch_max };
        start_group_commit(Arc::clone(&self.store), limits, self.clock.clone(), |_| {})
    }

    /// Accepts a message that is new and returns its id.
    pub(crate) async fn accept(&self, draft: Draft) -> MessageId {
        let accept = draft.accept();
        let answers = self.store.accept(std::slice::from_ref(&accept)).await.unwrap();
        assert!(matches!(answers[..], [Accepted::New { .. }]), "{answers:?}");
        accept.id
    }

    pub(crate) async fn accept_all(&self, batch: &[Accept]) -> Vec<Accepted> {
        self.store.accept(batch).await.unwrap()
    }

    pub(crate) async fn claim(&self, provider: &str, limit: u32, lease: Duration) -> Vec<Claimed> {
        let claims = self
            .store
            .claim(&name(provider), up_to(limit), lease)
            .await
            .unwrap();
        claims.entries
    }

    /// Claims the one entry that can be.
    pub(crate) async fn claim_one(&self, provider: &str, lease: Duration) -> Held {
        let claimed = self.claim(provider, 10, lease).await;
        assert_eq!(claimed.len(), 1, "{claimed:?}");
        Held::from(&claimed[0])
    }

    pub(crate) async fn settle(&self, settlement: Settlement) -> Settled {
        let answers = self.store.settle(&[settlement]).await.unwrap();
        assert_eq!(answers.len(), 1);
        answers[0]
    }

    /// Accepts a message that is leased, settles it as told and returns its id.
    pub(crate) async fn settled(&self, draft: Draft, settle: impl Fn(&Held) -> Settlement) -> MessageId {
        let id = self.accept(draft.leased(crate::builders::NOT_YET)).await;
        assert_eq!(self.settle(settle(&Held::at_accept(id))).await, Settled::Applied);
        id
    }

    /// Releases leases, and returns how many were held.
    pub(crate) async fn release(&self, leases: &[(MessageId, LeaseToken)]) -> usize {
        let released = self.store.release(leases).await.unwrap();
        assert!(
            released
                .iter()
                .all(|id| leases.iter().any(|lease| lease.0 == *id))
        );
        released.len()
    }

    /// Lets time pass. PostgreSQL has a clock of its own: there, everything that is measured by it becomes so much older.
    pub(crate) async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        if let Place::Postgres(url) = &self.place {
            let by = format!("interval '{} microseconds'", time.as_micros());
            let older = format!(
                "update providers set unserved_since = unserved_since - {by}, observed_at = observed_at - {by};
                update outbox set due_at = due_at - {by}, leased_until = leased_until - {by},
                    deadline_at = deadline_at - {by}, dead_at = dead_at - {by};
                update follow_ups set due_at = due_at - {by}, taken_until = taken_until - {by};
                update receipts set stored_at = stored_at - {by};
                update event_batches set at = at - {by};
                update webhook_endpoints set leased_until = leased_until - {by};"
            );
            connect(url).await.batch_execute(&older).await.unwrap();
        }
    }

    /// Announces that these providers are served, and sweeps: entries that no node serves are dead-lettered at once.
    pub(crate) async fn sweep(&self, serving: &[&str], limit: u32) -> Vec<DeadLetter> {
        let serving: Vec<_> = serving.iter().map(|provider| name(provider)).collect();
        self.store.announce(&serving, AT_ONCE.gap_max).await.unwrap();
        self.store.sweep(&serving, AT_ONCE, limit).await.unwrap()
    }

    pub(crate) async fn detail(&self, id: MessageId) -> MessageDetail {
        self.store.message(id).await.unwrap().unwrap()
    }

    pub(crate) async fn status(&self, id: MessageId) -> Status {
        self.detail(id).await.message.status
    }

    /// A receipt of the provider of SMS that names neither id.
    pub(crate) fn receipt(&self, status: ReceiptStatus) -> Receipt {
        let received_at = self.clock.now();
        Receipt {
            provider: Some(name(SMS)),
            provider_message_id: None,
            message_id: None,
            status,
            error_code: None,
            at: received_at,
            received_at,
        }
    }

    /// The same for a message with this id at the provider.
    pub(crate) fn receipt_of(&self, provider_message_id: &str, status: ReceiptStatus) -> Receipt {
        Receipt {
            provider_message_id: Some(provider_message_id.parse().unwrap()),
            ..self.receipt(status)
        }
    }

    /// The same for a message whose id the provider echoes.
    pub(crate) fn receipt_for(&self, id: MessageId, status: ReceiptStatus) -> Receipt {
        Receipt {
            message_id: Some(id),
            ..self.receipt(status)
        }
    }

    pub(crate) async fn store_receipt(&self, receipt: &Receipt) -> Option<MessageId> {
        let applied = self.store.store_receipt(receipt).await.unwrap();
        applied.map(|applied| applied.message_id)
    }

    /// How many were applied.
    pub(crate) async fn match_receipts(&self, within: Duration, limit: u32) -> usize {
        self.store.match_receipts(within, limit).await.unwrap().len()
    }

    /// Every event that is kept, in the order of the log.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let start = self.store.event_log().await.unwrap().start;
        all_events(&*self.store, start).await
    }

    /// What happened to a message, in the order of the log; not that its conversation was created.
    pub(crate) async fn events_of(&self, id: MessageId) -> Vec<EventType> {
        let events = self.events().await.into_iter();
        let events = events.filter(|event| event.subject.message_id() == Some(id));
        events
            .map(|event| event.kind)
            .filter(|kind| *kind != EventType::ConversationCreated)
            .collect()
    }

    pub(crate) async fn conversation(&self, id: ConversationId) -> Conversation {
        self.store.conversation(id).await.unwrap().unwrap().conversation
    }

    /// Every conversation, latest activity first.
    pub(crate) async fn conversations(&self) -> Vec<Conversation> {
        all_conversations(&*self.store).await
    }

    /// Every message, newest first.
    pub(crate) async fn messages(&self) -> Vec<Message> {
        all_messages(&*self.store).await
    }

    /// Every message of a conversation, oldest first.
    pub(crate) async fn thread(&self, id: ConversationId) -> Vec<Message> {
        whole_thread(&*self.store, id).await
    }

    /// What must hold of every conversation, whatever happened: its count, its sequences, its last activity.
    pub(crate) async fn check_conversations(&self) {
        check_conversations(&*self.store).await;
        if !matches!(self.place, Place::Memory) {
            self.check_references().await;
        }
    }

    /// What must hold of every row in a database: what it refers to is there.
    pub(crate) async fn check_references(&self) {
        let dangling = self.query(crate::references::AUDIT).await;
        assert!(dangling.is_empty(), "{dangling:?}");
    }
}

/// A connection outside the store.
pub(crate) async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Starts the committing task.
pub(crate) fn start_group_commit(
    store: Arc<dyn Store>,
    limits: GroupCommitLimits,
    clock: Arc<dyn Clock>,
    report: impl Fn(CommitReport) + Send + Sync + 'static,
) -> GroupCommit {
    let (group_commit, committing) = GroupCommit::new(store, limits, clock, report);
    tokio::spawn(committing);
    group_commit
}
