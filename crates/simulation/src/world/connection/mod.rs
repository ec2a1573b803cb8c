//! The store as one life of a node sees it. It plants the bugs of a store.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{Content, ConversationId, ConversationKey, LeaseToken, MessageId, ProviderName};
use futures_util::FutureExt;
use mutants::Mutant;
use store::{
    Accept, Accepted, Accepting, Archive, Assigned, Canceled, ClaimLimits, Claims, DeadLetter,
    IdempotentRequest, Import, Outbox, QueueDepth, RedriveFilter, RedriveTerms, Redriven, RedrivenBatch,
    Settled, Settlement, Store, StoreError, UnservedRule, WithoutConversation,
};

use super::database::{Database, Errand};
use crate::{checkers::Before, plan::MessageProfile};

pub(crate) struct Connection {
    pub(crate) database: Arc<Database>,
    pub(crate) life: u32,
}

/// The model answers at once.
macro_rules! at_once {
    ($future:expr) => {
        $future.now_or_never().expect("the model never waits")
    };
}

mod lifecycle;
mod reads;

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.life)
    }
}

/// The answer to an accept that was not committed.
fn made_up() -> Accepted {
    Accepted::New {
        conversation_id: ConversationId::new(1).expect("1 is positive"),
        sequence: 1,
    }
}

fn bytes_of(content: &Content) -> usize {
    content.body.as_str().len()
}

fn bytes_of_claimed(claims: &Claims) -> usize {
    claims
        .entries
        .iter()
        .map(|claimed| bytes_of(&claimed.leased.content))
        .sum()
}

#[async_trait]
impl Accepting for Connection {
    async fn accept(&self, batch: &[Accept]) -> Result<Vec<Accepted>, StoreError> {
        let (batch, count, life) = (batch.to_vec(), batch.len(), self.life);
        let bytes = batch.iter().map(|accept| bytes_of(&accept.message.content)).sum();
        let accepted = self
            .database
            .transact(Errand::accept(bytes), move |database| {
                if batch.iter().any(|accept| {
                    MessageProfile::of_body(accept.message.content.body.as_str()) == MessageProfile::Refused
                }) {
                    return Err(StoreError::Refused("cannot be kept".to_owned()));
                }
                let accepted = at_once!(database.memory.accept(&batch))?;
                database
                    .observer
                    .accepted(life, &batch, &accepted, &database.memory);
                Ok(accepted)
            })
            .await;
        match accepted {
            Err(StoreError::Unavailable(_)) if mutants::planted(Mutant::AckWithoutCommit) => {
                Ok(vec![made_up(); count])
            }
            Err(StoreError::OutcomeUnknown(reason)) if mutants::planted(Mutant::UnknownCommitDenied) => {
                Err(StoreError::unavailable(store::Outage::Away, reason))
            }
            Ok(mut accepted) if mutants::planted(Mutant::AnswersSwapped) => {
                accepted.reverse();
                Ok(accepted)
            }
            accepted => accepted,
        }
    }

    async fn find_accepted(&self, batch: &[Accept]) -> Result<Vec<Option<Accepted>>, StoreError> {
        let batch = batch.to_vec();
        self.database
            .transact(Errand::READ, move |database| {
                at_once!(database.memory.find_accepted(&batch))
            })
            .await
    }

    async fn find_repeated(&self, request: &IdempotentRequest) -> Result<Option<Accepted>, StoreError> {
        if mutants::planted(Mutant::RepeatTurnedAway) {
            return Ok(None);
        }
        let request = request.clone();
        self.database
            .transact(Errand::READ, move |database| {
                at_once!(database.memory.find_repeated(&request))
            })
            .await
    }
}

#[async_trait]
impl Outbox for Connection {
    async fn claim(
        &self,
        provider: &ProviderName,
        mut limits: ClaimLimits,
        lease: Duration,
    ) -> Result<Claims, StoreError> {
        if mutants::planted(Mutant::ClaimNeverShrinks) {
            limits.bytes = usize::MAX;
        }
        let (provider, life) = (provider.clone(), self.life);
        let claimed = self
            .database
            .transact_for(Errand::CLAIM, bytes_of_claimed, move |database| {
                let claimed = at_once!(database.memory.claim(&provider, limits, lease))?;
                database
                    .observer
                    .claimed(life, &claimed.entries, &database.memory, database.now());
                Ok(claimed)
            })
            .await?;
        self.database.observer.got_claims(self.life, &claimed.entries);
        Ok(claimed)
    }

    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let (batch, life) = (batch.to_vec(), self.life);
        let count = batch.len();
        let settled = self
            .database
            .transact(Errand::SETTLE, move |database| {
                database.observer.settling(life, &batch);
                let settle = |settlement: &Settlement| {
                    let before = Before::of(&database.memory, settlement.id);
                    // One by one, so that each can be judged, but all at one instant.
                    let settled = at_once!(database.memory.settle(std::slice::from_ref(settlement)))?[0];
                    database
                        .observer
                        .settled(life, settlement, settled, &before, &database.memory);
                    Ok(settled)
                };
                batch.iter().map(settle).collect()
            })
            .await;
        if matches!(settled, Err(StoreError::Refused(_)))
            && mutants::planted(Mutant::RefusedSettlementDropped)
        {
            // The node forgets a settlement whose lease it takes for lost.
            return Ok(vec![Settled::LeaseLost; count]);
        }
        settled
    }

    async fn release(&self, leases: &[(MessageId, LeaseToken)]) -> Result<Vec<MessageId>, StoreError> {
        let (leases, life) = (leases.to_vec(), self.life);
        self.database
            .transact(Errand::WRITE, move |database| {
                let release = |lease: &(MessageId, LeaseToken)| {
                    let before = Before::of(&database.memory, lease.0);
                    let released = at_once!(database.memory.release(std::slice::from_ref(lease)))?;
                    database
                        .observer
                        .released(life, *lease, &before, &database.memory);
                    Ok(released)
                };
                let released: Result<Vec<Vec<MessageId>>, StoreError> = leases.iter().map(release).collect();
                Ok(released?.concat())
            })
            .await
    }

    async fn announce(&self, serving: &[ProviderName], gap_max: Duration) -> Result<(), StoreError> {
        let serving = serving.to_vec();
        self.database
            .transact(Errand::WRITE, move |database| {
                at_once!(database.memory.announce(&serving, gap_max))
            })
            .await
    }

    async fn sweep(
        &self,
        serving: &[ProviderName],
        mut unserved: UnservedRule,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        if mutants::planted(Mutant::ServedDeadLettered) {
            unserved.after = Duration::ZERO;
        }
        let (serving, life) = (serving.to_vec(), self.life);
        self.database
            .transact(Errand::WRITE, move |database| {
                let dead_lettered = at_once!(database.memory.sweep(&serving, unserved, limit))?;
                database
                    .observer
                    .dead_lettered(life, &dead_lettered, &database.memory, database.now());
                Ok(dead_lettered)
            })
            .await
    }

    async fn redrive(&self, id: MessageId, terms: &RedriveTerms) -> Result<Redriven, StoreError> {
        let terms = terms.clone();
        self.database
            .transact(Errand::WRITE, move |database| {
                let redriven = at_once!(database.memory.redrive(id, &terms))?;
                if redriven == Redriven::Pending {
                    database.observer.redriven(&database.memory);
                }
                Ok(redriven)
            })
            .await
    }

    async fn redrive_matching(
        &self,
        filter: &RedriveFilter,
        terms: &RedriveTerms,
        limit: u32,
    ) -> Result<RedrivenBatch, StoreError> {
        let (filter, terms) = (filter.clone(), terms.clone());
        self.database
            .transact(Errand::WRITE, move |database| {
                let batch = at_once!(database.memory.redrive_matching(&filter, &terms, limit))?;
                database.observer.redriven(&database.memory);
                Ok(batch)
            })
            .await
    }

    async fn cancel(&self, id: MessageId) -> Result<Canceled, StoreError> {
        self.database
            .transact(Errand::WRITE, move |database| {
                let changed = at_once!(database.memory.cancel(id));
                database.observer.outbox_changed(&database.memory);
                changed
            })
            .await
    }

    async fn queue_depths(&self) -> Result<Vec<QueueDepth>, StoreError> {
        self.database
            .transact(Errand::READ, |database| at_once!(database.memory.queue_depths()))
            .await
    }
}

#[async_trait]
impl Archive for Connection {
    async fn import(&self, batch: &[Import]) -> Result<u64, StoreError> {
        let batch = batch.to_vec();
        self.database
            .transact(Errand::WRITE, move |database| {
                at_once!(database.memory.import(&batch))
            })
            .await
    }

    async fn count_without_conversation(&self) -> Result<u64, StoreError> {
        self.database
            .transact(Errand::READ, |database| {
                at_once!(database.memory.count_without_conversation())
            })
            .await
    }

    async fn without_conversation(
        &self,
        after: Option<MessageId>,
        limit: u32,
    ) -> Result<Vec<WithoutConversation>, StoreError> {
        self.database
            .transact(Errand::READ, move |database| {
                at_once!(database.memory.without_conversation(after, limit))
            })
            .await
    }

    async fn assign(&self, batch: &[(MessageId, ConversationKey)]) -> Result<Assigned, StoreError> {
        let batch = batch.to_vec();
        self.database
            .transact(Errand::WRITE, move |database| {
                at_once!(database.memory.assign(&batch))
            })
            .await
    }

    async fn purge_idempotency_keys(&self, mut kept: Duration, limit: u32) -> Result<u64, StoreError> {
        if mutants::planted(Mutant::KeyPurgedEarly) {
            kept /= 2;
        } else if mutants::planted(Mutant::KeyKeptForever) {
            kept = Duration::MAX;
        }
        self.database
            .transact(Errand::WRITE, move |database| {
                at_once!(database.memory.purge_idempotency_keys(kept, limit))
            })
            .await
    }
}

#[async_trait]
impl Store for Connection {
    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.database.transact(Errand::READ, |_| Ok(())).await
    }
}
