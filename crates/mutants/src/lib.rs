//! The names of bugs that are planted to prove that the simulation notices them.
//!
//! The product does not depend on this crate. Bugs stand in the simulation (wrappers of store and providers), in the reference
//! model, or in patches of the product's sources (`crates/simulation/planted`), which bin/planted-bugs applies to a copy.

use std::cell::Cell;

macro_rules! mutants {
    ($( #[doc = $meaning:literal] $name:ident, )+) => {
        /// The bugs, each named after what it breaks.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Mutant {
            $( #[doc = $meaning] $name, )+
        }

        impl Mutant {
            pub const ALL: &'static [Self] = &[$( Self::$name, )+];

            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$name => stringify!($name), )+ }
            }
        }
    };
}

mutants! {
    /// An accept whose commit failed is acknowledged.
    AckWithoutCommit,
    /// A commit without an answer counts as one that did not happen.
    UnknownCommitDenied,
    /// One message the database refuses fails its whole batch.
    NeighboursRefused,
    /// A message that waited too long is reported as not stored, and stored nevertheless.
    WithdrawnButStored,
    /// The answers of a batch go to the wrong requests.
    AnswersSwapped,
    /// A settlement does not compare the lease token.
    NoFence,
    /// A repeated request raises the count of its conversation.
    CountOutsideTransaction,
    /// A repeated request leaves a dead letter without a message.
    LoserLeavesEntry,
    /// A conversation skips a sequence number.
    SequenceGap,
    /// The latest message decides the last activity, whatever its timestamp.
    LastActivityOverwritten,
    /// A message is stored before its sender's limit is checked.
    KeyBurnedBeforeLimit,
    /// The key of a request is not stored with its message.
    KeyForgotten,
    /// Another body under a known key is answered like a repeat.
    FingerprintIgnored,
    /// A webhook delivered twice is stored twice.
    InboundIdIgnored,
    /// A message that the breaker refuses leaves the outbox.
    DropOnBreakerOpen,
    /// An attempt of an expired lease is recorded as an error, as if the provider had not taken the message.
    UnknownTreatedAsFailed,
    /// The attempt of an expired lease is not recorded.
    ExpiredAttemptForgotten,
    /// The attempt of an expired lease counts against the budget of its message.
    ExpiredAttemptCounted,
    /// A retry ignores the provider's Retry-After.
    RetryBeforeRetryAfter,
    /// A claim takes entries that are not due yet.
    ClaimBeforeDue,
    /// A worker that finishes while the breaker is open never returns its place.
    WorkerPermitLeak,
    /// The breaker counts results that were admitted before its last move.
    GenerationIgnored,
    /// The breaker never opens.
    BreakerNeverOpens,
    /// A half-open breaker lets too many calls through.
    HalfOpenUnlimited,
    /// A node measures its leases by its wall clock.
    LeaseByNodeClock,
    /// A call starts however little is left of its lease.
    LeaseNotChecked,
    /// An MMS gets a conversation apart from SMS.
    SplitConversationKey,
    /// A message is charged to its sender twice.
    DoubleCharge,
    /// A message that was not accepted is charged to its sender.
    NoRefund,
    /// The sender's limit is not checked.
    LimitNotAsked,
    /// A late settlement makes its message pending again.
    StatusRegress,
    /// A redriven message counts its attempts from 1 again.
    RedriveRestartsNumbers,
    /// A message is tried after its deadline.
    DeadlineIgnored,
    /// A message is tried without end.
    BudgetIgnored,
    /// A rejected message is tried again.
    RejectionRetried,
    /// A message for a channel without a provider is stored, and its client gets a refusal.
    StoredWithoutProvider,
    /// Messages for a provider that is gone wait until their deadline.
    UnservedNotDeadLettered,
    /// A message whose accept got no answer is looked up only once.
    LateAcceptForgotten,
    /// A sweep dead-letters at once what its own node does not serve, even if another node does.
    ServedDeadLettered,
    /// A repeat is refused when a new message would be.
    RepeatTurnedAway,
    /// Keys are purged before they expire.
    KeyPurgedEarly,
    /// Keys are never purged.
    KeyKeptForever,
    /// A message is read in two statements, and changes in between.
    TornRead,
    /// A settlement that the store refused for a time is dropped.
    RefusedSettlementDropped,
    /// Claims ask for the full amount, however long the last ones took.
    ClaimNeverShrinks,
    /// A repeated settlement, whose first answer was lost, is reported as late.
    RepeatedSettlementDenied,
    /// Some events get their places before the commit: they appear in the log after later ones.
    PlacedBeforeCommit,
    /// A settlement writes no event.
    DispatchedWithoutEvent,
    /// A receipt that comes before its attempt is on record is acknowledged, and not kept.
    EarlyReceiptDropped,
    /// The latest receipt decides the status, whatever came before.
    LatestReceiptDecides,
    /// A message is canceled while a worker holds it.
    CancelIgnoresLease,
    /// A message is canceled although a provider may have it.
    CancelAfterTimeout,
    /// A receipt deletes an entry that a worker holds.
    LeasedEntryProved,
    /// A scheduled message is sent at once.
    ScheduledSentEarly,
    /// Readers of the event log that fall behind the node's memory miss events.
    RingSkipsEvents,
    /// The cursor of an endpoint passes events whose calls are under way.
    CursorPassesInFlight,
    /// The events of a conversation do not wait for each other.
    ConversationOrderLost,
    /// A node whose lease of an endpoint is lost stores its progress.
    CheckpointWithoutFence,
    /// An event whose first call fails counts as delivered.
    FailedCallDelivered,
    /// A receipt leaves the dead entry of its message where it is.
    ProofIgnored,
    /// A second receipt that says `delivered` writes a second event.
    DeliveredToldTwice,
    /// An endpoint that is enabled again goes on at the end of the log.
    EnableSkipsToEnd,
}

impl Mutant {
    /// Whether it shows itself only in worlds with receipts, cancellations, schedules, or readers of the event log.
    #[must_use]
    pub const fn needs_lifecycle(self) -> bool {
        self as usize >= Self::PlacedBeforeCommit as usize
    }
}

thread_local! {
    static CHOSEN: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Plants a bug in everything that runs on this thread; `None` for none, as at the start.
pub fn choose(mutant: Option<Mutant>) {
    CHOSEN.set(mutant);
}

/// Whether this bug is planted on this thread.
#[must_use]
pub fn planted(mutant: Mutant) -> bool {
    CHOSEN.get() == Some(mutant)
}
