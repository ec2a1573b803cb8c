use std::time::Duration;

use domain::Channel;

use super::Settings;
use crate::draw::Draw;

/// Something a client does.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Since the start.
    pub at: Duration,
    pub kind: OperationKind,
}

#[derive(Debug, Clone)]
pub enum OperationKind {
    Send(SendPlan),
    /// Delivers a webhook.
    Receive(ReceivePlan),
    /// Redrives one of the messages acknowledged so far.
    Redrive,
    /// Redrives all dead letters of a provider.
    RedriveAll {
        provider: usize,
    },
    /// Cancels one of the messages acknowledged so far.
    Cancel,
}

/// A message to be sent. Those of one `group` are one request to the client; if they have a key, they share it.
#[derive(Debug, Clone)]
pub struct SendPlan {
    pub group: u32,
    /// Which body; a group with two bodies misuses its key.
    pub says: u32,
    /// Whether there is a key.
    pub keyed: bool,
    pub channel: Channel,
    pub from: usize,
    pub to: usize,
    pub profile: MessageProfile,
    /// Extra bytes of the body.
    pub padding: usize,
    /// The message's timestamp, in milliseconds after its sending.
    pub written_ms: Option<i64>,
    /// How long after the request it is to be sent.
    pub send_after: Option<Duration>,
    /// How long the client waits for an answer.
    pub patience: Duration,
    /// Requests at most.
    pub tries: u32,
    /// The client's address.
    pub client: u8,
}

/// An inbound message.
#[derive(Debug, Clone)]
pub struct ReceivePlan {
    /// Repeats have the same event.
    pub event: u32,
    pub provider: usize,
    pub channel: Channel,
    pub from: usize,
    pub to: usize,
    /// The message's timestamp, in milliseconds after its delivery.
    pub written_ms: Option<i64>,
    /// Deliveries at most until it is acknowledged.
    pub tries: u32,
}

/// What happens to a message. Its body carries it, so that the provider and the database see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageProfile {
    Plain,
    /// The provider rejects it for good.
    Rejected,
    /// Every call for it panics.
    Poison,
    /// The database refuses it for good.
    Refused,
}

impl MessageProfile {
    pub(crate) fn letter(self) -> char {
        match self {
            Self::Plain => 'p',
            Self::Rejected => 'j',
            Self::Poison => 'x',
            Self::Refused => 'r',
        }
    }

    pub(crate) fn of_body(body: &str) -> Self {
        match body.chars().last() {
            Some('j') => Self::Rejected,
            Some('x') => Self::Poison,
            Some('r') => Self::Refused,
            _ => Self::Plain,
        }
    }
}

pub(super) fn draw(draw: &Draw, settings: &Settings) -> Vec<Operation> {
    let chaos = settings.chaos.as_millis() as u64;
    let people = draw.pick(&[2, 4, 8]);
    let mut operations = Vec::new();
    for number in 0..settings.operations as u32 {
        let at = if settings.bursts.is_empty() || draw.permille(500) {
            draw.below(chaos)
        } else {
            draw.pick(&settings.bursts).as_millis() as u64
        };
        match draw.below(100) {
            0..=64 => send(draw, number, at, people, &mut operations),
            65..=94 => receive(draw, number, at, people, &mut operations),
            95..=97 => push(&mut operations, at, OperationKind::Redrive),
            _ => push(
                &mut operations,
                at,
                OperationKind::RedriveAll {
                    provider: draw.below(2) as usize,
                },
            ),
        }
    }
    operations.sort_by_key(|operation| operation.at);
    operations
}

fn push(operations: &mut Vec<Operation>, at: u64, kind: OperationKind) {
    let at = Duration::from_millis(at);
    operations.push(Operation { at, kind });
}

fn send(draw: &Draw, group: u32, at: u64, people: u64, operations: &mut Vec<Operation>) {
    let from = draw.below(people);
    let plan = SendPlan {
        group,
        says: 0,
        keyed: draw.permille(700),
        channel: draw.pick(&[Channel::Sms, Channel::Sms, Channel::Mms, Channel::Email]),
        from: from as usize,
        to: ((from + draw.between(1, people - 1)) % people) as usize,
        profile: match draw.below(100) {
            0..=89 => MessageProfile::Plain,
            90..=94 => MessageProfile::Rejected,
            95..=97 => MessageProfile::Poison,
            _ => MessageProfile::Refused,
        },
        padding: 0,
        written_ms: written(draw),
        send_after: None,
        patience: draw.millis(200, 5_000),
        tries: draw.pick(&[1, 4, 12, 60]),
        client: draw.below(3) as u8,
    };
    if plan.keyed {
        // Repeats, some at once and some much later, and now and then another body under the same key.
        for _ in 0..draw.pick(&[0, 0, 0, 1, 1, 3]) {
            let later = at + draw.pick(&[0, 0, 1, 5, 300, 20_000]);
            let repeat = SendPlan {
                says: u32::from(draw.permille(200)),
                patience: draw.millis(200, 5_000),
                ..plan.clone()
            };
            push(operations, later, OperationKind::Send(repeat));
        }
    }
    push(operations, at, OperationKind::Send(plan));
}

fn receive(draw: &Draw, number: u32, at: u64, people: u64, operations: &mut Vec<Operation>) {
    let from = draw.below(people);
    let provider = draw.below(2) as usize;
    let channel = match provider {
        0 => Channel::Email,
        _ => draw.pick(&[Channel::Sms, Channel::Mms]),
    };
    let plan = ReceivePlan {
        // The same id may name messages of two providers, or with other participants.
        event: if draw.permille(100) { number % 4 } else { number },
        provider,
        channel,
        from: from as usize,
        to: ((from + draw.between(1, people - 1)) % people) as usize,
        written_ms: written(draw),
        tries: draw.pick(&[1, 10, 60]),
    };
    for _ in 0..draw.pick(&[1, 1, 2, 4]) {
        let later = at + draw.pick(&[0, 0, 2, 400, 15_000]);
        push(operations, later, OperationKind::Receive(plan.clone()));
    }
}

/// Some have none, some are late, and some come from clocks that are wrong by days.
fn written(draw: &Draw) -> Option<i64> {
    match draw.below(10) {
        0..=3 => None,
        4..=8 => Some(draw.between(0, 600_000) as i64 - 600_000),
        _ => Some(draw.pick(&[-86_400_000_000, 3_600_000, 172_800_000])),
    }
}
