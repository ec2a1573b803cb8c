use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::{
    Channel, Clock, ConversationId, Direction, Entropy, ErrorCode, MessageId, Outcome, ProviderMessageId,
    ProviderName, Receipt, Schedule, WebhookEndpointId,
};
use store_model::Memory;
use trunkline_store::{
    Accept, Accepted, Accepting, Archive, Assigned, DeadLetter, Disposition, Events, FollowUpKey, FollowUps,
    Import, Kind, LeasedEndpoint, Outbox, Receipts, RedriveFilter, RedriveTerms, Settlement, Store,
    UnservedRule,
};

use super::{
    command::{Command, End, LIMITLESS, Report, Request, RequestKind},
    log::Logs,
};
use crate::{
    builders::{
        ALREADY, Draft, EMAIL, Held, NOT_YET, SMS, dead, in_place, instant, name, request, reroute, retry,
    },
    driven_clock::DrivenClock,
    follow_ups::{receipt, reply},
    import::key_of,
    walks::check_conversations,
};

/// The model, the store under test, and the commands that both have got so far.
pub(super) struct Pair {
    pub(super) model: Memory,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<DrivenClock>,
    /// Whether instants and the numbers of conversations must agree too.
    pub(super) exactly: bool,
    pub(super) entropy: Entropy,
    pub(super) messages: Vec<MessageId>,
    leases: Vec<Held>,
    taken: Vec<FollowUpKey>,
    /// The store's number of each of the model's conversations.
    pub(super) conversations: BTreeMap<ConversationId, ConversationId>,
    pub(super) log: Logs,
    pub(super) endpoints: Vec<WebhookEndpointId>,
    /// Leases of endpoints, the model's and the store's.
    pub(super) endpoint_leases: Vec<[LeasedEndpoint; 2]>,
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
            taken: Vec::new(),
            conversations: BTreeMap::new(),
            log: Logs::default(),
            endpoints: Vec::new(),
            endpoint_leases: Vec::new(),
        }
    }

    pub(super) async fn run(&mut self, commands: &[Command]) {
        for command in commands {
            self.carry_out(command).await;
            self.compare_log().await;
        }
        self.compare_everything().await;
        self.compare_receipts().await;
        self.compare_endpoints().await;
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
                let Some(id) = self.message(*message) else { return };
                let terms = terms(*expired, *rerouted);
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
            Command::Cancel { message } => {
                let Some(id) = self.message(*message) else { return };
                let ours = self.model.cancel(id).await;
                assert_eq!(ours, self.store.cancel(id).await);
            }
            Command::Receive(report) => {
                let receipt = self.receipt(report);
                let ours = self.model.store_receipt(&receipt).await;
                assert_eq!(ours, self.store.store_receipt(&receipt).await);
            }
            Command::MatchReceipts { recent, limit } => {
                let within = over_or_not(!recent) * 24;
                let ours = self.model.match_receipts(within, *limit).await;
                assert_eq!(ours, self.store.match_receipts(within, *limit).await);
            }
            Command::PurgeReceipts { all, limit } => {
                let ours = self.model.purge_receipts(over_or_not(*all), *limit).await;
                assert_eq!(ours, self.store.purge_receipts(over_or_not(*all), *limit).await);
            }
            Command::PurgeEvents { all } => {
                let ours = self.model.purge_events(over_or_not(*all), LIMITLESS).await;
                assert_eq!(ours, self.store.purge_events(over_or_not(*all), LIMITLESS).await);
            }
            Command::TakeFollowUps { limit, expired } => {
                let lease = over_or_not(*expired);
                let ours = self.model.take_follow_ups(*limit, lease).await.unwrap();
                let theirs = self.store.take_follow_ups(*limit, lease).await.unwrap();
                self.compare_follow_ups(&ours, theirs);
                self.taken.extend(ours.due.iter().map(|follow_up| follow_up.key));
            }
            Command::FinishFollowUps(places) => {
                let place = |place: &usize| place.checked_rem(self.taken.len());
                let done = places.iter().filter_map(place).map(|place| self.taken[place]);
                let done: Vec<FollowUpKey> = done.collect();
                let ours = self.model.finish_follow_ups(&done).await;
                assert_eq!(ours, self.store.finish_follow_ups(&done).await);
            }
            Command::Webhook(command) => self.carry_out_on_webhooks(command).await,
            Command::Pass(duration) => self.clock.advance(*duration),
        }
    }

    fn accept(&mut self, request: &Request) -> Accept {
        self.clock.advance(Duration::from_micros(1));
        let now = self.clock.now();
        let id = MessageId::mint(now, &self.entropy);
        let draft = match &request.kind {
            RequestKind::Send {
                key,
                late,
                lease,
                expires,
                ..
            } => {
                let draft = Draft::outbound(id, now).deadline(over_or_not(*late));
                let draft = match expires {
                    Some(over) => draft.expires_in(over_or_not(*over)),
                    None => draft,
                };
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
        let draft = match request.kind {
            RequestKind::Send {
                scheduled: Some(at_once),
                ..
            } => draft.send_in(over_or_not(at_once)),
            _ => draft.written(request.written),
        };
        let body = request.body.to_string();
        draft.metadata(&[("body", &body)]).body(&body).accept()
    }

    /// The message of this number among all that were ever given to the stores.
    fn message(&self, number: usize) -> Option<MessageId> {
        let place = number.checked_rem(self.messages.len())?;
        Some(self.messages[place])
    }

    fn receipt(&self, report: &Report) -> Receipt {
        let received_at = self.clock.now();
        Receipt {
            provider: report.provider.map(|email| name(provider(email))),
            provider_message_id: report.provider_message_id.map(provider_id),
            message_id: report.message.and_then(|message| self.message(message)),
            status: report.status,
            error_code: report.code.map(ErrorCode::of),
            at: instant(report.second),
            received_at,
        }
    }

    fn import(&mut self, request: &Request) -> Import {
        let mut accept = self.accept(request);
        // What exists already is not scheduled.
        accept.message.schedule = Schedule::default();
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
            .map(|(held, (place, end))| {
                (
                    place,
                    match end {
                        End::Finish => held.tried(Outcome::Success, Disposition::Finish),
                        End::Retry(outcome, over) => held.tried(*outcome, retry(over_or_not(*over))),
                        End::DeadLetter(outcome, reason) => held.tried(*outcome, dead(*reason)),
                        End::Untried(reason) => held.untried(dead(*reason)),
                        End::Reroute(Some(outcome), email) => held.tried(*outcome, reroute(provider(*email))),
                        End::Reroute(None, email) => held.untried(reroute(provider(*email))),
                    },
                )
            })
            .map(|(place, mut settlement)| {
                if let Some(tried) = &mut settlement.tried {
                    tried.provider_message_id = (place % 4 > 0).then(|| provider_id((place / 4 % 6) as u8));
                    settlement.follow_ups = match place % 5 {
                        0 => vec![receipt(ALREADY), reply(over_or_not(place % 2 == 0), "YES")],
                        1 => vec![reply(ALREADY, "STOP")],
                        _ => Vec::new(),
                    };
                }
                settlement
            })
            .collect()
    }
}

/// What redriven messages get; an email keeps its provider.
fn terms(expired: bool, rerouted: bool) -> RedriveTerms {
    let mut terms = in_place(over_or_not(expired), NOT_YET);
    if rerouted {
        terms.kept.extend(expired.then(|| name(SMS)));
        terms.routes.insert(Channel::Sms, name(EMAIL));
    }
    terms
}

fn names(serving: &[bool; 2]) -> Vec<ProviderName> {
    let served = serving.iter().zip([SMS, EMAIL]).filter(|(is, _)| **is);
    served.map(|(_, provider)| name(provider)).collect()
}

/// One of the few ids that providers give.
fn provider_id(number: u8) -> ProviderMessageId {
    format!("p{number}").parse().unwrap()
}

pub(super) fn over_or_not(over: bool) -> Duration {
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
