//! Bugs that are planted in the real code, to prove that the simulation would notice them.
//!
//! A hook is one line at the place where the bug would be: `if mutants::planted(Mutant::NoFence) { … }`. Without the
//! feature `planted` it is the constant `false`, and the compiler removes what it guards. With it, a run chooses one bug for
//! its own thread. The product's binary does not compile with the feature: nothing planted can ship.

#[cfg(feature = "planted")]
use std::cell::Cell;

/// Whether bugs are compiled in.
pub const COMPILED_IN: bool = cfg!(feature = "planted");

macro_rules! mutants {
    ($( $(#[doc = $meaning:literal])+ $name:ident, )+) => {
        /// The bugs, each named after what it breaks.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Mutant {
            $( $(#[doc = $meaning])+ $name, )+
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &'static [Self] = &[$( Self::$name, )+];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$name => stringify!($name), )+ }
            }

            /// What it does.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $( Self::$name => concat!($( $meaning ),+), )+ }
            }
        }
    };
}

mutants! {
    /// An accept whose commit failed is acknowledged.
    AckWithoutCommit,
    /// A commit without an answer is reported as one that did not happen.
    UnknownCommitDenied,
    /// One message the database refuses fails its whole batch.
    NeighboursRefused,
    /// A message whose turn came too late is reported as not stored, and stored nevertheless.
    WithdrawnButStored,
    /// The answers of a batch go to the wrong requests.
    AnswersSwapped,
    /// Whoever once held a lease may settle: the token is not compared.
    NoFence,
    /// A repeated request raises the count of its conversation.
    CountOutsideTransaction,
    /// A repeated request leaves a dead letter without a message.
    LoserLeavesEntry,
    /// A conversation skips a sequence number.
    SequenceGap,
    /// The latest message decides the last activity, whatever its timestamp.
    LastActivityOverwritten,
    /// A message is stored before its sender's limit is asked.
    KeyBurnedBeforeLimit,
    /// The key of a request is not stored with its message.
    KeyForgotten,
    /// Another body under a known key is answered like a repeat.
    FingerprintIgnored,
    /// A webhook delivered twice is stored twice.
    InboundIdIgnored,
    /// What the breaker turns away is taken off the outbox.
    DropOnBreakerOpen,
    /// A vanished try is recorded as an error, as if the provider had not taken the message.
    UnknownTreatedAsFailed,
    /// The try of a worker whose lease expired is not recorded.
    VanishedTryForgotten,
    /// The try of a worker whose lease expired counts against the budget of its message.
    VanishedTryCounted,
    /// The provider's Retry-After is not waited for.
    RetryBeforeRetryAfter,
    /// A claim takes entries that are not due yet.
    ClaimBeforeDue,
    /// A worker whose call timed out never gives its place back.
    WorkerPermitLeak,
    /// The breaker counts results that were admitted before its last move.
    GenerationIgnored,
    /// The breaker never opens.
    BreakerNeverOpens,
    /// A half-open breaker lets every call through.
    HalfOpenUnlimited,
    /// A node measures its leases by its wall clock.
    LeaseByNodeClock,
    /// A call is started however little is left of its lease.
    LeaseNotChecked,
    /// An MMS gets a conversation apart from SMS.
    SplitConversationKey,
    /// A message is charged to its sender twice.
    DoubleCharge,
    /// What came to nothing is not given back to its sender.
    NoRefund,
    /// The sender's limit is not asked.
    LimitNotAsked,
    /// A settlement that comes too late makes its message pending again.
    StatusRegress,
    /// A redriven message counts its attempts from one again.
    RedriveRestartsNumbers,
    /// A message is tried after its deadline.
    DeadlineIgnored,
    /// A message is tried without end.
    BudgetIgnored,
    /// A rejected message is tried again.
    RejectionRetried,
    /// A message for a channel nobody serves is stored, and its client told that it is not.
    StoredWithoutProvider,
    /// What is left for a provider that is gone is not given up before its deadline.
    UnservedNotDeadLettered,
    /// A message whose accept got no answer is looked for only once.
    LateAcceptForgotten,
    /// A sweep dead-letters at once what its own node does not serve, even if another node does.
    ServedDeadLettered,
    /// A repeat that comes when no new message could be accepted is turned away like one.
    RepeatTurnedAway,
    /// Keys are forgotten before their time.
    KeyPurgedEarly,
    /// Keys are never forgotten.
    KeyKeptForever,
    /// A message is read in two statements, and changes in between.
    TornRead,
    /// A settlement that the store refused, for a time, is dropped.
    RefusedSettlementDropped,
    /// Claims ask for as much as ever, however long the last ones took.
    ClaimNeverShrinks,
    /// A settlement that is asked for again, because its answer was lost, is said to have come too late.
    RepeatedSettlementDenied,
}

#[cfg(feature = "planted")]
thread_local! {
    static CHOSEN: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Chooses the bug that everything on this thread has from now on; `None` for none.
#[cfg(feature = "planted")]
pub fn choose(mutant: Option<Mutant>) {
    CHOSEN.set(mutant);
}

/// Whether this bug is to be there.
#[cfg(feature = "planted")]
#[must_use]
pub fn planted(mutant: Mutant) -> bool {
    CHOSEN.get() == Some(mutant)
}

/// Whether this bug is to be there: never.
#[cfg(not(feature = "planted"))]
#[inline(always)]
#[must_use]
pub const fn planted(_: Mutant) -> bool {
    false
}
