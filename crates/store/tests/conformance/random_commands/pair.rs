use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::{
    Attempt, Channel, Clock, Conversation, ConversationId, Direction, Entropy, Message, MessageId, Outcome,
    ProviderName, Timestamp,
};
use store_model::Memory;
use trunkline_store::{
    Accept, Accepted, Accepting, Archive, Assigned, Claimed, DeadLetter, Disposition, Import, Kind,
    MessageDetail, Outbox, QueueDepth, Reads, RedriveFilter, RedriveTerms, Settlement, Store, UnservedRule,
};

use super::command::{Command, End, Request, RequestKind};
use crate::{
    builders::{
        ALREADY, Draft, EMAIL, Held, NOT_YET, SMS, dead, in_place, instant, name, request, reroute, retry,
    },
    driven_clock::DrivenClock,
    import::key_of,
    walks::{all_conversations, all_messages, check_conversations, whole_thread},
};

/// The model, the store under test, and the commands that both have got so far.
pub(super) struct Pair {
    model: Memory,
    store: Arc<dyn Store>,
    clock: Arc<DrivenClock>,
    /// Whether instants and the numbers of conversations must agree too.
    exactly: bool,
    entropy: Entropy,
    messages: Vec<MessageId>,
    leases: Vec<Held>,
    /// The store's number of each of the model's conversations.
    conversations: BTreeMap<ConversationId, ConversationId>,
}

impl Pair {
    pub(super) fn new(store: Arc<dyn Store>, clock: Arc<DrivenClock>, exactly: bool) -> Self {
        Self {
            model: Memory::new(clock.clone()),
            store,
            clock,
            exactly,
            entropy: Entropy::from_seed(4),
            messages: Vec::new(),
            leases: Vec::new(),
            conversations: BTreeMap::new(),
        }
    }

    pub(super) async fn run(&mut self, commands: &[Command]) {
        for command in commands {
            self.carry_out(command).await;
        }
        self.compare_everything().await;
        check_conversations(&*self.store).await;
        check_conversations(&self.model).await;
    }

    async fn carry_out(&mut self, command: &Command) {
        match command {
            Command::Accept(requests) => {
                let batch: Vec<Accept> = requests.iter().map(|request| self.accept(request)).collect();
                let answers = self.model.accept(&batch).await.unwrap();
                let theirs = self.store.accept(&batch).await.unwrap();
                assert_eq!(answers.len(), theirs.len());
                for (ours, theirs) in answers.iter().zip(theirs) {
                    self.compare_accepted(*ours, theirs);
                }
                for (accept, answer) in batch.iter().zip(&answers) {
                    let leased = matches!(accept.kind, Kind::Send { lease: Some(_), .. });
                    if leased && matches!(answer, Accepted::New { .. }) {
                        self.leases.push(Held::at_accept(accept.id));
                    }
                }
                let found = self.model.find_accepted(&batch).await.unwrap();
                let theirs = self.store.find_accepted(&batch).await.unwrap();
                for (ours, theirs) in found.into_iter().zip(theirs) {
                    self.compare_found(ours, theirs);
                }
            }
            Command::FindRepeated { key, body } => {
                let request = request(&key.to_string(), &body.to_string());
                let ours = self.model.find_repeated(&request).await.unwrap();
                let theirs = self.store.find_repeated(&request).await.unwrap();
                self.compare_found(ours, theirs);
            }
            Command::Claim {
                email,
                limits,
                expired,
            } => {
                let (name, lease) = (name(provider(*email)), over_or_not(*expired));
                let ours = self.model.claim(&name, *limits, lease).await.unwrap();
                let theirs = self.store.claim(&name, *limits, lease).await.unwrap();
                assert_eq!(ours.cut_short, theirs.cut_short, "{ours:?} {theirs:?}");
                let (ours, theirs) = (ours.entries, theirs.entries);
                assert_eq!(ours.len(), theirs.len(), "{ours:?} {theirs:?}");
                for (ours, theirs) in ours.iter().zip(theirs) {
                    self.compare_claimed(ours, theirs);
                }
                self.leases.extend(ours.iter().map(Held::from));
            }
            Command::Settle(ends) => {
                let batch = self.settlements(ends);
                let ours = self.model.settle(&batch).await;
                assert_eq!(ours, self.store.settle(&batch).await);
            }
            Command::Release(places) => {
                let leases: Vec<_> = self.pick(places.iter().copied());
                let leases: Vec<_> = leases.iter().map(|held| (held.id, held.token)).collect();
                let ours = self.model.release(&leases).await;
                assert_eq!(ours, self.store.release(&leases).await);
            }
            Command::Announce(serving) => {
                let serving = names(serving);
                let ours = self.model.announce(&serving, NOT_YET).await;
                assert_eq!(ours, self.store.announce(&serving, NOT_YET).await);
            }
            Command::Sweep {
                serving,
                at_once,
                limit,
            } => {
                let serving = names(serving);
                let unserved = UnservedRule {
                    after: over_or_not(*at_once),
                    gap_max: NOT_YET,
                };
                let ours: Vec<DeadLetter> = self.model.sweep(&serving, unserved, *limit).await.unwrap();
                assert_eq!(Ok(ours), self.store.sweep(&serving, unserved, *limit).await);
            }
            Command::Redrive {
                message,
                expired,
                rerouted,
            } => {
                let Some(id) = message.checked_rem(self.messages.len()) else {
                    return;
                };
                let (id, terms) = (self.messages[id], terms(*expired, *rerouted));
                let ours = self.model.redrive(id, &terms).await;
                assert_eq!(ours, self.store.redrive(id, &terms).await);
            }
            Command::RedriveMatching {
                rerouted,
                provider: email,
                reason,
                before,
                limit,
            } => {
                let filter = RedriveFilter {
                    provider: email.map(|email| name(provider(email))),
                    channel: None,
                    reason: *reason,
                    // Before and after anything that can happen here, by the clock of any machine.
                    failed_before: before.map(|ever| instant(if ever { 3_600_000_000 } else { 0 })),
                };
                let terms = terms(false, *rerouted);
                let ours = self.model.redrive_matching(&filter, &terms, *limit).await;
                let theirs = self.store.redrive_matching(&filter, &terms, *limit).await;
                assert_eq!(ours.unwrap().redriven, theirs.unwrap().redriven);
            }
            Command::Purge { all, limit } => {
                let ours = self.model.purge_idempotency_keys(over_or_not(*all), *limit).await;
                let theirs = self.store.purge_idempotency_keys(over_or_not(*all), *limit).await;
                assert_eq!(ours, theirs);
            }
            Command::Import(requests) => {
                let batch: Vec<Import> = requests.iter().map(|request| self.import(request)).collect();
                let ours = self.model.import(&batch).await;
                assert_eq!(ours, self.store.import(&batch).await);
                let ours = self.model.count_without_conversation().await;
                assert_eq!(ours, self.store.count_without_conversation().await);
            }
            Command::Assign { limit } => {
                let without_conversation = self.model.without_conversation(None, *limit).await;
                assert_eq!(
                    without_conversation,
                    self.store.without_conversation(None, *limit).await
                );
                let batch: Vec<_> = without_conversation.unwrap().iter().map(key_of).collect();
                let ours = self.model.assign(&batch).await;
                assert_eq!(ours, self.store.assign(&batch).await);
                for (id, _) in &batch {
                    let ours = conversation_of(&self.model, *id).await;
                    let theirs = conversation_of(&*self.store, *id).await;
                    self.same_conversation(ours, theirs);
                }
                // The second time, they have their conversations.
                assert_eq!(self.store.assign(&batch).await, Ok(Assigned::default()));
            }
            Command::Pass(duration) => self.clock.advance(*duration),
        }
    }

    fn accept(&mut self, request: &Request) -> Accept {
        self.clock.advance(Duration::from_micros(1));
        let now = self.clock.now();
        let id = MessageId::mint(now, &self.entropy);
        let draft = match &request.kind {
            RequestKind::Send { key, late, lease } => {
                let draft = Draft::outbound(id, now).deadline(over_or_not(*late));
                let draft = match key {
                    Some(key) => draft.key(&key.to_string()),
                    None => draft,
                };
                match lease {
                    Some(over) => draft.leased(over_or_not(*over)),
                    None => draft,
                }
            }
            RequestKind::Receive(provider_message_id) => {
                Draft::inbound(id, now, &provider_message_id.to_string())
            }
        };
        let draft = if request.email {
            draft.email("a@example.com", &format!("{}@example.com", request.pair))
        } else {
            draft.between(request.pair, 1)
        };
        self.messages.push(id);
        draft
            .written(request.written)
            .body(&request.body.to_string())
            .accept()
    }

    fn import(&mut self, request: &Request) -> Import {
        let accept = self.accept(request);
        let (direction, id) = match &request.kind {
            RequestKind::Send { key, .. } => (Direction::Outbound, key.unwrap_or_default()),
            RequestKind::Receive(id) => (Direction::Inbound, *id),
        };
        Import {
            id: accept.id,
            direction,
            message: accept.message,
            processed_at: accept.processed_at,
            provider: accept.provider,
            provider_message_id: id.to_string().parse().unwrap(),
            payload: "{}".into(),
        }
    }

    /// The leases of these numbers, each message once.
    fn pick(&self, places: impl Iterator<Item = usize>) -> Vec<Held> {
        let mut picked: Vec<Held> = Vec::new();
        for place in places {
            let Some(place) = place.checked_rem(self.leases.len()) else {
                continue;
            };
            // The latest first: those are the ones that may still be held.
            let held = self.leases[self.leases.len() - 1 - place];
            if picked.iter().all(|other| other.id != held.id) {
                picked.push(held);
            }
        }
        picked
    }

    fn settlements(&self, ends: &[(usize, End)]) -> Vec<Settlement> {
        let picked = self.pick(ends.iter().map(|(place, _)| *place));
        picked
            .iter()
            .zip(ends)
            .map(|(held, (_, end))| match end {
                End::Finish => held.tried(Outcome::Success, Disposition::Finish),
                End::Retry(outcome, over) => held.tried(*outcome, retry(over_or_not(*over))),
                End::DeadLetter(outcome, reason) => held.tried(*outcome, dead(*reason)),
                End::Untried(reason) => held.untried(dead(*reason)),
                End::Reroute(Some(outcome), email) => held.tried(*outcome, reroute(provider(*email))),
                End::Reroute(None, email) => held.untried(reroute(provider(*email))),
            })
            .collect()
    }

    fn same_conversation(&mut self, ours: ConversationId, theirs: ConversationId) {
        if self.exactly {
            assert_eq!(ours, theirs);
        }
        let known = *self.conversations.entry(ours).or_insert(theirs);
        assert_eq!(known, theirs);
    }

    fn compare_accepted(&mut self, ours: Accepted, mut theirs: Accepted) {
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

    fn compare_found(&mut self, ours: Option<Accepted>, theirs: Option<Accepted>) {
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => self.compare_accepted(ours, theirs),
            (ours, theirs) => assert_eq!(ours, theirs),
        }
    }

    fn compare_claimed(&mut self, ours: &Claimed, mut theirs: Claimed) {
        self.same_conversation(ours.leased.conversation_id, theirs.leased.conversation_id);
        theirs.leased.conversation_id = ours.leased.conversation_id;
        if !self.exactly {
            assert_eq!(ours.deadline_in.is_zero(), theirs.deadline_in.is_zero());
            theirs.deadline_in = ours.deadline_in;
        }
        assert_eq!(*ours, theirs);
    }

    async fn compare_everything(&mut self) {
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

/// What redriven messages get; an email keeps its provider.
fn terms(expired: bool, rerouted: bool) -> RedriveTerms {
    let mut terms = in_place(over_or_not(expired), NOT_YET);
    if rerouted {
        terms.routes.insert(Channel::Sms, name(EMAIL));
    }
    terms
}

fn names(serving: &[bool; 2]) -> Vec<ProviderName> {
    let served = serving.iter().zip([SMS, EMAIL]).filter(|(is, _)| **is);
    served.map(|(_, provider)| name(provider)).collect()
}

fn over_or_not(over: bool) -> Duration {
    if over { ALREADY } else { NOT_YET }
}

fn provider(email: bool) -> &'static str {
    if email { EMAIL } else { SMS }
}

async fn conversation_of(store: &dyn Store, id: MessageId) -> ConversationId {
    store
        .message(id)
        .await
        .unwrap()
        .unwrap()
        .message
        .thread
        .unwrap()
        .0
}
