//! What the model and the store under test answer, made comparable.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    Attempt, Conversation, ConversationId, Message, MessageId, PageRequest, Receipt, Start, Status,
    Timestamp, Total,
};
use trunkline_store::{
    Accepted, Claimed, MessageDetail, MessageFilter, QueueDepth, Reads, Store, TakenFollowUps,
};

use super::pair::Pair;
use crate::{
    builders::instant,
    walks::{all_conversations, all_messages, whole_thread},
};

impl Pair {
    pub(super) fn same_conversation(&mut self, ours: ConversationId, theirs: ConversationId) {
        if self.exactly {
            assert_eq!(ours, theirs);
        }
        let known = *self.conversations.entry(ours).or_insert(theirs);
        assert_eq!(known, theirs);
    }

    pub(super) fn compare_accepted(&mut self, ours: Accepted, mut theirs: Accepted) {
        let of = |accepted: &mut Accepted| match accepted {
            Accepted::New { conversation_id, .. } => Some(std::mem::replace(
                conversation_id,
                ConversationId::new(1).unwrap(),
            )),
            Accepted::Repeated { conversation_id, .. } => conversation_id.take(),
            Accepted::KeyConflict => None,
        };
        let mut masked = ours;
        if let (Some(ours), Some(theirs)) = (of(&mut masked), of(&mut theirs)) {
            self.same_conversation(ours, theirs);
        }
        assert_eq!(masked, theirs);
    }

    pub(super) fn compare_found(&mut self, ours: Option<Accepted>, theirs: Option<Accepted>) {
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => self.compare_accepted(ours, theirs),
            (ours, theirs) => assert_eq!(ours, theirs),
        }
    }

    pub(super) fn compare_claimed(&mut self, ours: &Claimed, mut theirs: Claimed) {
        self.same_conversation(ours.leased.conversation_id, theirs.leased.conversation_id);
        theirs.leased.conversation_id = ours.leased.conversation_id;
        if !self.exactly {
            assert_eq!(ours.deadline_in.is_zero(), theirs.deadline_in.is_zero());
            theirs.deadline_in = ours.deadline_in;
        }
        assert_eq!(*ours, theirs);
    }

    pub(super) fn compare_follow_ups(&self, ours: &TakenFollowUps, mut theirs: TakenFollowUps) {
        let mut ours = ours.clone();
        if !self.exactly {
            assert_eq!(ours.next_in.is_some(), theirs.next_in.is_some());
            theirs.next_in = ours.next_in;
            for taken in [&mut ours, &mut theirs] {
                taken.due.sort_unstable_by_key(|follow_up| follow_up.key);
                taken
                    .due
                    .iter_mut()
                    .for_each(|follow_up| follow_up.due_at = instant(0));
            }
        }
        assert_eq!(ours, theirs);
    }

    pub(super) async fn compare_everything(&mut self) {
        let ours = all_conversations(&self.model).await;
        let theirs = all_conversations(&*self.store).await;
        for conversation in &ours {
            let Some(number) = self.conversations.get(&conversation.id).copied() else {
                panic!()
            };
            let thread = whole_thread(&*self.store, number).await;
            let expected = whole_thread(&self.model, conversation.id).await;
            assert_eq!(self.numbered_as_theirs(expected), thread);
        }
        if self.exactly {
            assert_eq!(ours, theirs);
        } else {
            assert_eq!(
                self.by_number(ours),
                theirs.into_iter().map(|theirs| (theirs.id, theirs)).collect()
            );
        }
        let expected = self.numbered_as_theirs(all_messages(&self.model).await);
        assert_eq!(expected, all_messages(&*self.store).await);
        for id in self.messages.clone() {
            let ours = self.model.message(id).await.unwrap();
            let theirs = self.store.message(id).await.unwrap();
            assert_eq!(
                ours.map(|detail| self.comparable(detail)),
                theirs.map(|detail| MessageDetail {
                    message: detail.message.clone(),
                    ..self.comparable_times(detail)
                })
            );
        }
        let depths = async |store: &dyn Store| -> Vec<QueueDepth> {
            let mut depths = store.queue_depths().await.unwrap();
            if !self.exactly {
                depths.iter_mut().for_each(|depth| depth.oldest = Duration::ZERO);
            }
            depths
        };
        assert_eq!(depths(&self.model).await, depths(&*self.store).await);
        for status in Status::ALL {
            let filter = MessageFilter {
                status: Some(*status),
                ..MessageFilter::default()
            };
            let page = PageRequest::new(200, Start::First);
            let ids = async |store: &dyn Store| -> (Vec<MessageId>, Total) {
                let page = store.messages(&filter, &page).await.unwrap();
                (page.items.iter().map(|message| message.id).collect(), page.total)
            };
            assert_eq!(ids(&self.model).await, ids(&*self.store).await, "{status:?}");
        }
    }

    pub(super) async fn compare_receipts(&self) {
        for matched in [None, Some(true), Some(false)] {
            let ours = all_receipts(&self.model, matched).await;
            assert_eq!(ours, all_receipts(&*self.store, matched).await, "{matched:?}");
        }
    }

    fn by_number(&self, ours: Vec<Conversation>) -> BTreeMap<ConversationId, Conversation> {
        ours.into_iter()
            .map(|conversation| {
                let id = self.conversations[&conversation.id];
                (id, Conversation { id, ..conversation })
            })
            .collect()
    }

    fn numbered_as_theirs(&self, messages: Vec<Message>) -> Vec<Message> {
        messages
            .into_iter()
            .map(|message| self.numbered(message))
            .collect()
    }

    fn numbered(&self, mut message: Message) -> Message {
        message.thread = message
            .thread
            .map(|(id, sequence)| (self.conversations[&id], sequence));
        message
    }

    fn comparable(&self, detail: MessageDetail) -> MessageDetail {
        let message = self.numbered(detail.message.clone());
        MessageDetail {
            message,
            ..self.comparable_times(detail)
        }
    }

    /// Without the instants that the database's own clock gave.
    fn comparable_times(&self, mut detail: MessageDetail) -> MessageDetail {
        if !self.exactly {
            let never: Timestamp = instant(0);
            if let Some(waiting) = &mut detail.waiting {
                waiting.due_at = never;
            }
            let vanished = |attempt: &&mut Attempt| {
                attempt
                    .error_code
                    .as_ref()
                    .is_some_and(|code| code.as_str() == "lease_expired")
            };
            detail
                .attempts
                .iter_mut()
                .filter(vanished)
                .for_each(|attempt| attempt.occurred_at = never);
        }
        detail
    }
}

/// Every receipt and the message it was applied to, the latest first.
async fn all_receipts(store: &dyn Store, matched: Option<bool>) -> Vec<(Receipt, Option<MessageId>)> {
    let mut all = Vec::new();
    let mut start = Start::First;
    loop {
        let page = store
            .receipts(matched, &PageRequest::new(3, start))
            .await
            .unwrap();
        all.extend(
            page.items
                .into_iter()
                .map(|stored| (stored.receipt, stored.applied_to)),
        );
        match page.next {
            Some(position) => start = Start::After(position),
            None => return all,
        }
    }
}
