use domain::{Channel, LeaseToken, MessageId};
use store::Settlement;

/// What a recorder has to record.
#[derive(Clone)]
pub(super) enum Work {
    Settle(Settlement, Channel),
    Release(MessageId, LeaseToken),
}

impl Work {
    pub(super) fn id(&self) -> MessageId {
        match self {
            Self::Settle(settlement, _) => settlement.id,
            Self::Release(id, _) => *id,
        }
    }
}
