use std::time::Duration;

use domain::{FailureReason, Outcome};
use proptest::prelude::*;
use trunkline_store::ClaimLimits;

const LIMITLESS: u32 = 1_000;

#[derive(Clone, Debug)]
pub(super) enum Command {
    Accept(Vec<Request>),
    FindRepeated {
        key: u8,
        body: u8,
    },
    Claim {
        email: bool,
        limits: ClaimLimits,
        expired: bool,
    },
    /// Each settles the lease of that number among all ever handed out, whether it is still held or not.
    Settle(Vec<(usize, End)>),
    Release(Vec<usize>),
    /// Who is served, SMS and email.
    Announce([bool; 2]),
    Sweep {
        serving: [bool; 2],
        /// Whether entries that no node serves are dead-lettered at once.
        at_once: bool,
        limit: u32,
    },
    Redrive {
        message: usize,
        expired: bool,
        /// Whether SMS has another provider now.
        rerouted: bool,
    },
    RedriveMatching {
        rerouted: bool,
        provider: Option<bool>,
        reason: Option<FailureReason>,
        before: Option<bool>,
        limit: u32,
    },
    Purge {
        all: bool,
        limit: u32,
    },
    Import(Vec<Request>),
    Assign {
        limit: u32,
    },
    /// Only where the clock is driven does any time pass.
    Pass(Duration),
}

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) pair: u32,
    pub(super) email: bool,
    pub(super) written: i64,
    pub(super) kind: RequestKind,
    pub(super) body: u8,
}

#[derive(Clone, Debug)]
pub(super) enum RequestKind {
    Send {
        key: Option<u8>,
        late: bool,
        /// Whether a lease that is taken at once is over at once.
        lease: Option<bool>,
    },
    Receive(u8),
}

#[derive(Clone, Debug)]
pub(super) enum End {
    Finish,
    Retry(Outcome, bool),
    DeadLetter(Outcome, FailureReason),
    /// To the provider of SMS or email, with an attempt if there is an outcome.
    Reroute(Option<Outcome>, bool),
    Untried(FailureReason),
}

fn request_kinds() -> impl Strategy<Value = RequestKind> {
    let send = (
        prop::option::of(0..4_u8),
        any::<bool>(),
        prop::option::weighted(0.3, any::<bool>()),
    )
        .prop_map(|(key, late, lease)| RequestKind::Send { key, late, lease });
    prop_oneof![3 => send, 1 => (0..4_u8).prop_map(RequestKind::Receive)]
}

fn requests() -> impl Strategy<Value = Request> {
    (
        0..3_u32,
        prop::bool::weighted(0.3),
        0..20_i64,
        request_kinds(),
        0..2_u8,
    )
        .prop_map(|(pair, email, written, kind, body)| Request {
            pair,
            email,
            written,
            kind,
            body,
        })
}

fn ends() -> impl Strategy<Value = End> {
    let outcome = || prop::sample::select(Outcome::ALL);
    let reason = || prop::sample::select(FailureReason::ALL);
    prop_oneof![
        1 => Just(End::Finish),
        3 => (outcome(), any::<bool>()).prop_map(|(outcome, over)| End::Retry(outcome, over)),
        2 => (outcome(), reason()).prop_map(|(outcome, reason)| End::DeadLetter(outcome, reason)),
        1 => reason().prop_map(End::Untried),
        1 => (prop::option::of(outcome()), any::<bool>())
            .prop_map(|(outcome, email)| End::Reroute(outcome, email)),
    ]
}

fn serving() -> impl Strategy<Value = [bool; 2]> {
    [prop::bool::weighted(0.8), prop::bool::weighted(0.8)]
}

pub(super) fn commands(driven: bool) -> impl Strategy<Value = Command> {
    let limit = move || {
        if driven {
            (0..4_u32).boxed()
        } else {
            Just(LIMITLESS).boxed()
        }
    };
    let minutes_max: u64 = if driven { 90 } else { 1 };
    prop_oneof![
        6 => prop::collection::vec(requests(), 1..6).prop_map(Command::Accept),
        1 => (0..4_u8, 0..2_u8).prop_map(|(key, body)| Command::FindRepeated { key, body }),
        6 => (any::<bool>(), limit(), prop::bool::weighted(0.8), any::<bool>())
            .prop_map(move |(email, entries, all, expired)| {
                // Without bytes the first comes alone.
                let bytes = if all || !driven { usize::MAX } else { 0 };
                Command::Claim { email, limits: ClaimLimits { entries, bytes }, expired }
            }),
        6 => prop::collection::vec((any::<usize>(), ends()), 1..4).prop_map(Command::Settle),
        2 => prop::collection::vec(any::<usize>(), 1..4).prop_map(Command::Release),
        1 => serving().prop_map(Command::Announce),
        1 => (serving(), any::<bool>(), limit())
            .prop_map(|(serving, at_once, limit)| Command::Sweep { serving, at_once, limit }),
        2 => (any::<usize>(), any::<bool>(), any::<bool>())
            .prop_map(|(message, expired, rerouted)| Command::Redrive { message, expired, rerouted }),
        1 => (
            any::<bool>(),
            prop::option::of(any::<bool>()),
            prop::option::of(prop::sample::select(FailureReason::ALL)),
            prop::option::weighted(0.3, any::<bool>()),
            limit()
        )
            .prop_map(|(rerouted, provider, reason, before, limit)| Command::RedriveMatching {
                rerouted,
                provider,
                reason,
                before,
                limit
            }),
        1 => (any::<bool>(), limit()).prop_map(|(all, limit)| Command::Purge { all, limit }),
        1 => prop::collection::vec(requests(), 1..6).prop_map(Command::Import),
        1 => (1..6_u32).prop_map(|limit| Command::Assign { limit }),
        2 => (0..minutes_max).prop_map(|minutes| Command::Pass(Duration::from_secs(minutes * 60))),
    ]
}
