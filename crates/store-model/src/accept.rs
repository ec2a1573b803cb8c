use async_trait::async_trait;
use domain::{
    Channel, Content, Conversation, ConversationChannel, ConversationId, ConversationKey, Direction,
    EventType, LeaseToken, Message, MessageId, NewMessage, Schedule, Status, Timestamp,
};

use mutants::Mutant;

use store::{
    Accept, Accepted, Accepting, FIRST_LEASE, IdempotentRequest, Kind, Progress, StoreError, instant_after,
};

use crate::{Entry, Key, Memory, Row, Tables, inbound_id};

#[async_trait]
impl Accepting for Memory {
    async fn accept(&self, batch: &[Accept]) -> Result<Vec<Accepted>, StoreError> {
        let (mut tables, now) = self.begin();
        Ok(batch.iter().map(|accept| tables.accept(accept, now)).collect())
    }

    async fn find_accepted(&self, batch: &[Accept]) -> Result<Vec<Option<Accepted>>, StoreError> {
        let (tables, _) = self.begin();
        Ok(batch.iter().map(|accept| tables.find_accepted(accept)).collect())
    }

    async fn find_repeated(&self, request: &IdempotentRequest) -> Result<Option<Accepted>, StoreError> {
        Ok(self.begin().0.find_repeated(request))
    }
}

impl Tables {
    pub(super) fn accept(&mut self, accept: &Accept, now: Timestamp) -> Accepted {
        if let Some(earlier) = self.repeated(accept) {
            if mutants::planted(Mutant::CountOutsideTransaction) {
                self.join(&conversation_of(accept), accept.timestamp(), accept.processed_at);
            }
            if mutants::planted(Mutant::LoserLeavesEntry) {
                let dead = Entry {
                    provider: accept.provider.clone(),
                    due_at: now,
                    leased_until: None,
                    token: LeaseToken(0),
                    deadline_at: now,
                    dead_at: Some(now),
                    progress: Progress::default(),
                };
                self.outbox.insert(accept.id, dead);
            }
            return earlier;
        }
        let (conversation_id, sequence) =
            self.join(&conversation_of(accept), accept.timestamp(), accept.processed_at);
        let (direction, status) = match accept.kind {
            Kind::Send { .. } => (Direction::Outbound, Status::Dispatched),
            Kind::Receive { .. } => (Direction::Inbound, Status::Received),
        };
        let message = Message {
            id: accept.id,
            thread: Some((conversation_id, sequence)),
            direction,
            content: (*accept.message.content).clone(),
            timestamp: accept.timestamp(),
            processed_at: accept.processed_at,
            status,
            provider: Some(accept.provider.clone()),
            failure: None,
            schedule: accept.message.schedule,
            delivery: None,
        };
        let NewMessage { from, to, .. } = &accept.message;
        self.messages
            .insert(accept.id, Row::new(message, from.clone(), to.clone()));
        if sequence == 1 {
            self.message_event(EventType::ConversationCreated, accept.id, now);
        }
        let accepted = match accept.kind {
            Kind::Send { .. } => EventType::MessageAccepted,
            Kind::Receive { .. } => EventType::MessageReceived,
        };
        self.message_event(accepted, accept.id, now);
        match &accept.kind {
            Kind::Send {
                request,
                deadline,
                lease,
            } => {
                let kept = request
                    .as_ref()
                    .filter(|_| !mutants::planted(Mutant::KeyForgotten));
                if let Some(IdempotentRequest { key, fingerprint }) = kept {
                    let key_row = Key {
                        fingerprint: *fingerprint,
                        message_id: accept.id,
                        created_at: now,
                    };
                    self.keys.insert(key.clone(), key_row);
                }
                let Schedule { send_at, expires_at } = accept.message.schedule;
                let lease = lease.filter(|_| send_at.is_none());
                let due_at = send_at
                    .filter(|_| !mutants::planted(Mutant::ScheduledSentEarly))
                    .map_or(now, |send_at| send_at.max(now));
                let entry = Entry {
                    provider: accept.provider.clone(),
                    due_at,
                    leased_until: lease.map(|lease| instant_after(now, lease)),
                    token: if lease.is_some() {
                        FIRST_LEASE
                    } else {
                        LeaseToken(0)
                    },
                    deadline_at: expires_at.unwrap_or_else(|| instant_after(due_at, *deadline)),
                    dead_at: None,
                    progress: Progress::default(),
                };
                self.outbox.insert(accept.id, entry);
            }
            Kind::Receive {
                provider_message_id, ..
            } => {
                let inbound_id = inbound_id(&accept.provider, provider_message_id, &accept.message);
                self.inbound_ids.insert(inbound_id, accept.id);
            }
        }
        Accepted::New {
            conversation_id,
            sequence,
        }
    }

    pub(super) fn find_accepted(&self, accept: &Accept) -> Option<Accepted> {
        let own = self.messages.get(&accept.id).and_then(|row| row.message.thread);
        match own {
            Some((conversation_id, sequence)) => Some(Accepted::New {
                conversation_id,
                sequence,
            }),
            None => self.repeated(accept),
        }
    }

    pub(super) fn find_repeated(&self, request: &IdempotentRequest) -> Option<Accepted> {
        let earlier = self.keys.get(&request.key)?;
        if earlier.fingerprint == request.fingerprint || mutants::planted(Mutant::FingerprintIgnored) {
            self.repeat_of(earlier.message_id, None)
        } else {
            Some(Accepted::KeyConflict)
        }
    }

    fn repeated(&self, accept: &Accept) -> Option<Accepted> {
        match &accept.kind {
            Kind::Send { request, .. } => self.find_repeated(request.as_ref()?),
            Kind::Receive { .. } if mutants::planted(Mutant::InboundIdIgnored) => None,
            Kind::Receive {
                provider_message_id, ..
            } => {
                let inbound_id = inbound_id(&accept.provider, provider_message_id, &accept.message);
                self.repeat_of(*self.inbound_ids.get(&inbound_id)?, Some(&accept.message.content))
            }
        }
    }

    /// The answer to a repeat of a message. If `content` is given, it is compared.
    fn repeat_of(&self, id: MessageId, content: Option<&Content>) -> Option<Accepted> {
        let earlier = &self.messages.get(&id)?.message;
        let said = |content: &Content| {
            let Content {
                channel,
                subject,
                body,
                attachments,
                ..
            } = content.clone();
            (channel, subject, body, attachments)
        };
        Some(Accepted::Repeated {
            id,
            conversation_id: earlier.thread.map(|(conversation_id, _)| conversation_id),
            differs: content.is_some_and(|content| said(content) != said(&earlier.content)),
        })
    }

    /// Adds a message to its conversation, which may be new.
    pub(super) fn join(
        &mut self,
        key: &ConversationKey,
        timestamp: Timestamp,
        processed_at: Timestamp,
    ) -> (ConversationId, u64) {
        let next =
            ConversationId::new(self.conversations.len() as i64 + 1).expect("a count plus one is positive");
        let id = *self.conversation_ids.entry(key.clone()).or_insert(next);
        let conversation = self.conversations.entry(id).or_insert_with(|| Conversation {
            id,
            key: key.clone(),
            message_count: 0,
            last_activity_at: timestamp.min(processed_at),
            created_at: processed_at,
        });
        conversation.message_count += 1;
        conversation.last_activity_at = conversation.last_activity_at.max(timestamp.min(processed_at));
        if mutants::planted(Mutant::LastActivityOverwritten) {
            conversation.last_activity_at = timestamp;
        }
        (id, next_sequence(conversation.message_count))
    }
}

fn conversation_of(accept: &Accept) -> ConversationKey {
    let NewMessage {
        from, to, content, ..
    } = &accept.message;
    if content.channel == Channel::Mms && mutants::planted(Mutant::SplitConversationKey) {
        return ConversationKey::new(ConversationChannel::Email, from.clone(), to.clone());
    }
    accept.message.conversation()
}

/// The sequence of the message that makes its conversation `count` messages long.
fn next_sequence(count: u64) -> u64 {
    count + u64::from(mutants::planted(Mutant::SequenceGap) && count > 3)
}
