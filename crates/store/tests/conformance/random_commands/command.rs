use std::time::Duration;

use domain::{DisabledReason, FailureReason, Outcome, ReceiptStatus};
use proptest::prelude::*;
use trunkline_store::ClaimLimits;

pub(super) const LIMITLESS: u32 = 1_000;

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
    Cancel {
        message: usize,
    },
    Receive(Report),
    MatchReceipts {
        recent: bool,
        limit: u32,
    },
    PurgeReceipts {
        all: bool,
        limit: u32,
    },
    PurgeEvents {
        all: bool,
    },
    TakeFollowUps {
        limit: u32,
        expired: bool,
    },
    /// Of those that were ever taken.
    FinishFollowUps(Vec<usize>),
    Webhook(WebhookCommand),
    /// Only where the clock is driven does any time pass.
    Pass(Duration),
}

/// A receipt. Few ids, so that they repeat and are ambiguous.
#[derive(Clone, Debug)]
pub(super) struct Report {
    /// SMS or email.
    pub(super) provider: Option<bool>,
    pub(super) provider_message_id: Option<u8>,
    pub(super) message: Option<usize>,
    pub(super) status: ReceiptStatus,
    pub(super) code: Option<&'static str>,
    pub(super) second: i64,
}

/// What happens to webhook endpoints. Numbers choose among those that were ever made.
#[derive(Clone, Debug)]
pub(super) enum WebhookCommand {
    Create {
        max: u32,
    },
    Change {
        endpoint: usize,
        enabled: Option<bool>,
        types: Option<bool>,
        rotated: bool,
    },
    Delete {
        endpoint: usize,
    },
    Replay {
        endpoint: usize,
        from: From,
    },
    Lease {
        expired: bool,
    },
    Checkpoint(Progress),
    Release {
        lease: usize,
    },
    PurgeDeliveries {
        limit: u32,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum From {
    /// The end of the log after one of the commands, counted from the last.
    After(usize),
    Ever,
    Never,
    Failed,
}

#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) lease: usize,
    pub(super) expired: bool,
    /// The end of the log after one of the commands, counted from the last.
    pub(super) cursor: usize,
    /// Events, and whether their deliveries failed, or when they are due.
    pub(super) kept: Vec<(usize, bool, Option<bool>)>,
    pub(super) done: Vec<usize>,
    pub(super) delivered: u64,
    pub(super) failing: bool,
    pub(super) disable: Option<DisabledReason>,
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
        /// Whether it is to be sent at once, or later.
        scheduled: Option<bool>,
        /// Whether its own deadline is over at once.
        expires: Option<bool>,
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
        prop::option::weighted(0.2, any::<bool>()),
        prop::option::weighted(0.2, any::<bool>()),
    )
        .prop_map(|(key, late, lease, scheduled, expires)| RequestKind::Send {
            key,
            late,
            lease,
            scheduled,
            expires,
        });
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

fn reports() -> impl Strategy<Value = Report> {
    (
        prop::option::weighted(0.7, prop::bool::weighted(0.2)),
        prop::option::weighted(0.6, 0..6_u8),
        prop::option::weighted(0.6, any::<usize>()),
        prop::sample::select(ReceiptStatus::ALL),
        prop::option::of(prop::sample::select(&["a", "a_b", "ab"][..])),
        0..3_i64,
    )
        .prop_map(
            |(provider, provider_message_id, message, status, code, second)| Report {
                provider,
                provider_message_id,
                message,
                status,
                code,
                second,
            },
        )
}

fn progress() -> impl Strategy<Value = Progress> {
    let kept = (
        any::<usize>(),
        prop::bool::weighted(0.3),
        prop::option::of(any::<bool>()),
    );
    (
        (0..3_usize, any::<bool>(), 0..4_usize),
        prop::collection::vec(kept, 0..4),
        prop::collection::vec(any::<usize>(), 0..4),
        (0..3_u64, any::<bool>()),
        prop::option::weighted(0.1, prop::sample::select(DisabledReason::ALL)),
    )
        .prop_map(
            |((lease, expired, cursor), kept, done, (delivered, failing), disable)| Progress {
                lease,
                expired,
                cursor,
                kept,
                done,
                delivered,
                failing,
                disable,
            },
        )
}

fn webhook_commands() -> impl Strategy<Value = WebhookCommand> {
    let from = prop_oneof![
        3 => (0..20_usize).prop_map(From::After),
        1 => Just(From::Ever),
        1 => Just(From::Never),
        2 => Just(From::Failed),
    ];
    let optional = || prop::option::weighted(0.3, any::<bool>());
    prop_oneof![
        2 => (0..4_u32).prop_map(|max| WebhookCommand::Create { max }),
        2 => (any::<usize>(), optional(), optional(), any::<bool>()).prop_map(
            |(endpoint, enabled, types, rotated)| WebhookCommand::Change { endpoint, enabled, types, rotated }
        ),
        1 => any::<usize>().prop_map(|endpoint| WebhookCommand::Delete { endpoint }),
        2 => (any::<usize>(), from).prop_map(|(endpoint, from)| WebhookCommand::Replay { endpoint, from }),
        4 => any::<bool>().prop_map(|expired| WebhookCommand::Lease { expired }),
        8 => progress().prop_map(WebhookCommand::Checkpoint),
        1 => (0..3_usize).prop_map(|lease| WebhookCommand::Release { lease }),
        1 => (0..4_u32).prop_map(|limit| WebhookCommand::PurgeDeliveries { limit }),
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
        2 => any::<usize>().prop_map(|message| Command::Cancel { message }),
        6 => reports().prop_map(Command::Receive),
        2 => (any::<bool>(), limit()).prop_map(|(recent, limit)| Command::MatchReceipts { recent, limit }),
        1 => (any::<bool>(), limit()).prop_map(|(all, limit)| Command::PurgeReceipts { all, limit }),
        1 => any::<bool>().prop_map(|all| Command::PurgeEvents { all }),
        3 => (limit(), any::<bool>()).prop_map(|(limit, expired)| Command::TakeFollowUps { limit, expired }),
        1 => prop::collection::vec(any::<usize>(), 0..4).prop_map(Command::FinishFollowUps),
        6 => webhook_commands().prop_map(Command::Webhook),
        2 => (0..minutes_max).prop_map(|minutes| Command::Pass(Duration::from_secs(minutes * 60))),
    ]
}
