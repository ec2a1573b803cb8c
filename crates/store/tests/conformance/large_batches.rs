//! Batches as large as those of a busy node: every order is kept, and what belongs to one message stays with it. A sort that
//! is not stable, or a column in another order than its neighbours, shows from some dozens of messages on.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use domain::{
    Channel, ConversationId, ConversationKey, Direction, ErrorCode, Failure, FailureReason, LeaseToken,
    MessageId, Outcome, Status,
};
use trunkline_store::{
    Accept, Accepted, Assigned, AttemptRecord, DeadLetter, Disposition, Import, Progress, RedriveFilter,
    Settled, Settlement,
};

use crate::{
    builders::{ALREADY, Draft, EMAIL, Held, NOT_YET, SMS, in_place, instant, name, retry},
    import::past,
    world::World,
};

/// Far beyond the size up to which sorting algorithms are stable by accident.
const MANY: usize = 200;
/// Conversations of a batch, so that each has dozens of messages, in no order.
const PAIRS: u64 = 7;

/// In an order that has nothing to do with that of the ids.
fn shuffled<T>(world: &World, mut items: Vec<T>) -> Vec<T> {
    for place in (1..items.len()).rev() {
        items.swap(place, world.below(place as u64 + 1) as usize);
    }
    items
}

/// A message that differs from all others, in one of a few conversations.
fn any_draft(world: &World, number: usize) -> Draft {
    let draft = match number % 3 {
        0 => world.outbound(),
        1 => world.outbound().key(&format!("key-{number}")),
        _ => world.inbound(&format!("id {number}")),
    };
    let pair = world.below(PAIRS);
    let draft = match pair {
        0 => draft.email("shop@example.com", "customer@example.com"),
        pair => draft.between(pair as u32, 100),
    };
    draft
        .body(&format!("body {number}"))
        .written(world.below(1_000) as i64)
}

fn any_batch(world: &World) -> Vec<Accept> {
    let batch = (0..MANY).map(|number| any_draft(world, number).accept());
    shuffled(world, batch.collect())
}

/// The next place in each conversation.
#[derive(Default)]
struct Places(HashMap<ConversationKey, u64>);

impl Places {
    fn next(&mut self, key: &ConversationKey) -> u64 {
        let place = self.0.entry(key.clone()).or_default();
        *place += 1;
        *place
    }
}

async fn is_stored_at(world: &World, accept: &Accept, thread: (ConversationId, u64)) {
    let message = world.detail(accept.id).await.message;
    assert_eq!(message.thread, Some(thread));
    assert_eq!(message.content, *accept.message.content);
    assert_eq!(
        (message.timestamp, message.processed_at, message.provider.as_ref()),
        (accept.timestamp(), accept.processed_at, Some(&accept.provider))
    );
    assert_eq!(
        world.conversation(thread.0).await.key,
        accept.message.conversation()
    );
}

/// `count` messages that are leased from the start.
async fn leased(world: &World, count: usize) -> Vec<Held> {
    let batch: Vec<Accept> = (0..count)
        .map(|_| world.outbound().leased(NOT_YET).accept())
        .collect();
    let batch = shuffled(world, batch);
    world.accept_all(&batch).await;
    batch.iter().map(|accept| Held::at_accept(accept.id)).collect()
}

pub(crate) async fn accepted_messages_follow_each_other_as_in_the_batch(world: &World) {
    let batch = any_batch(world);
    let mut places = Places::default();
    for half in batch.chunks(MANY / 2) {
        for (accept, answer) in half.iter().zip(world.accept_all(half).await) {
            let Accepted::New {
                conversation_id,
                sequence,
            } = answer
            else {
                panic!("{answer:?}")
            };
            assert_eq!(sequence, places.next(&accept.message.conversation()));
            is_stored_at(world, accept, (conversation_id, sequence)).await;
        }
    }
    world.check_conversations().await;
}

pub(crate) async fn repeats_among_accepted_messages_take_no_place(world: &World) {
    // Keys and ids from a few, so that most come again: in the same batch, in a later one, with the same body or not.
    let draft = |number: usize| {
        let name = world.below(40);
        let draft = match name % 2 {
            0 => world.outbound().key(&name.to_string()),
            _ => world.inbound(&name.to_string()),
        };
        let said = match number % 10 {
            0 => number as u64,
            _ => name,
        };
        let draft = draft.between(name as u32 % 5, 100);
        (name, draft.body(&format!("body {said}")).accept())
    };
    let batch: Vec<(u64, Accept)> = (0..MANY).map(draft).collect();
    let mut places = Places::default();
    let mut firsts: BTreeMap<u64, (Accept, ConversationId)> = BTreeMap::new();
    for part in shuffled(world, batch).chunks(MANY / 2) {
        let accepts: Vec<Accept> = part.iter().map(|(_, accept)| accept.clone()).collect();
        for ((name, accept), answer) in part.iter().zip(world.accept_all(&accepts).await) {
            let Some((first, conversation_id)) = firsts.get(name) else {
                let Accepted::New {
                    conversation_id,
                    sequence,
                } = answer
                else {
                    panic!("{answer:?}")
                };
                assert_eq!(sequence, places.next(&accept.message.conversation()));
                is_stored_at(world, accept, (conversation_id, sequence)).await;
                firsts.insert(*name, (accept.clone(), conversation_id));
                continue;
            };
            let says_the_same = accept.message.content.body == first.message.content.body;
            let expected = if says_the_same || name % 2 == 1 {
                Accepted::Repeated {
                    id: first.id,
                    conversation_id: Some(*conversation_id),
                    differs: !says_the_same,
                }
            } else {
                Accepted::KeyConflict
            };
            assert_eq!(answer, expected);
        }
    }
    assert_eq!(world.messages().await.len(), firsts.len());
    world.check_conversations().await;
}

pub(crate) async fn accepted_messages_are_found_in_their_order(world: &World) {
    let batch = any_batch(world);
    let (stored, missing) = batch.split_at(MANY / 2);
    let answers = world.accept_all(stored).await;
    let answers = stored
        .iter()
        .zip(answers)
        .map(|(accept, answer)| (accept, Some(answer)));
    let asked = answers.chain(missing.iter().map(|accept| (accept, None)));
    let asked = shuffled(world, asked.collect());
    let (accepts, expected): (Vec<Accept>, Vec<_>) = asked
        .into_iter()
        .map(|(accept, answer)| (accept.clone(), answer))
        .unzip();
    assert_eq!(world.store.find_accepted(&accepts).await, Ok(expected));
}

pub(crate) async fn the_first_of_imports_with_one_id_is_stored(world: &World) {
    let batch: Vec<Import> = (0..MANY)
        .map(|number| {
            let accept = world.outbound().body(&format!("body {number}")).accept();
            past(accept, Direction::Inbound, &world.below(60).to_string())
        })
        .collect();
    let batch = shuffled(world, batch);
    let mut known = BTreeSet::new();
    let firsts: BTreeMap<MessageId, &Import> = batch
        .iter()
        .filter(|import| known.insert(import.provider_message_id.as_str()))
        .map(|import| (import.id, import))
        .collect();
    assert_eq!(world.store.import(&batch).await, Ok(firsts.len() as u64));
    let stored = world.messages().await;
    assert_eq!(stored.len(), firsts.len());
    for message in stored {
        assert_eq!(message.content, *firsts[&message.id].message.content);
    }
}

pub(crate) async fn assigned_messages_follow_each_other_as_in_the_batch(world: &World) {
    let accepts = any_batch(world);
    let imports: Vec<Import> = accepts
        .iter()
        .enumerate()
        .map(|(number, accept)| past(accept.clone(), Direction::Outbound, &number.to_string()))
        .collect();
    assert_eq!(world.store.import(&imports).await, Ok(MANY as u64));
    let mut places = Places::default();
    let batch = shuffled(world, accepts);
    for half in batch.chunks(MANY / 2) {
        let joining: Vec<_> = half
            .iter()
            .map(|accept| (accept.id, accept.message.conversation()))
            .collect();
        let before = places.0.len();
        let expected: Vec<u64> = half
            .iter()
            .map(|accept| places.next(&accept.message.conversation()))
            .collect();
        let assigned = Assigned {
            messages: half.len() as u64,
            conversations: (places.0.len() - before) as u64,
        };
        assert_eq!(world.store.assign(&joining).await, Ok(assigned));
        for (accept, expected) in half.iter().zip(expected) {
            let (conversation_id, sequence) = world.detail(accept.id).await.message.thread.unwrap();
            assert_eq!(sequence, expected);
            is_stored_at(world, accept, (conversation_id, sequence)).await;
        }
    }
    world.check_conversations().await;
}

pub(crate) async fn the_entries_due_longest_are_claimed_first_with_their_messages(world: &World) {
    let batch: Vec<Accept> = (0..MANY)
        .map(|number| {
            let pair = world.below(PAIRS) as u32;
            let draft = world.outbound().between(pair, 100);
            draft.body(&format!("body {number}")).accept()
        })
        .collect();
    let batch = shuffled(world, batch);
    let mut conversations = HashMap::new();
    for part in batch.chunks(MANY / 4) {
        for (accept, answer) in part.iter().zip(world.accept_all(part).await) {
            let Accepted::New { conversation_id, .. } = answer else {
                panic!("{answer:?}")
            };
            conversations.insert(accept.id, conversation_id);
        }
        // What comes in one transaction is due at one moment.
        world.clock.advance(Duration::from_millis(1));
    }
    for part in batch.chunks(MANY / 4) {
        let due: BTreeMap<MessageId, &Accept> = part.iter().map(|accept| (accept.id, accept)).collect();
        let claimed = world.claim(SMS, part.len() as u32, NOT_YET).await;
        let ids: BTreeSet<MessageId> = claimed.iter().map(|claimed| claimed.leased.id).collect();
        assert_eq!(ids, due.keys().copied().collect());
        for claimed in claimed {
            let leased = claimed.leased;
            assert_eq!(leased.content, due[&leased.id].message.content);
            assert_eq!(leased.conversation_id, conversations[&leased.id]);
        }
    }
}

pub(crate) async fn every_settlement_meets_its_own_entry(world: &World) {
    let lost = leased(world, 30).await;
    let gone: Vec<_> = lost.iter().map(|held| (held.id, held.token)).collect();
    assert_eq!(world.release(&gone).await, 30);
    let held = leased(world, MANY).await;
    let settlement = |number: usize, held: &Held| {
        let code = ErrorCode::from_provider(&format!("code_{number}"));
        let (outcome, disposition) = match number % 4 {
            0 => (Outcome::Success, Disposition::Finish),
            1 => (Outcome::Error, retry(ALREADY)),
            2 => (Outcome::Timeout, retry(NOT_YET)),
            _ => {
                let reason = FailureReason::ALL[number % FailureReason::ALL.len()];
                (Outcome::Error, Disposition::DeadLetter(reason))
            }
        };
        // The engine retries only what it tried.
        let tried = number % 5 != 3 || matches!(disposition, Disposition::Retry { .. });
        Settlement {
            id: held.id,
            token: held.token,
            tried: tried.then(|| AttemptRecord {
                outcome,
                error_code: Some(code),
                occurred_at: instant(number as i64),
                latency: Duration::from_millis(number as u64),
                provider_message_id: number
                    .is_multiple_of(3)
                    .then(|| format!("p{number}").parse().unwrap()),
            }),
            disposition,
            progress: Progress {
                attempts: u32::from(tried),
                lost: 0,
                counted: number as u32,
                rate_limited_in_a_row: number as u32 + 1_000,
                panics: number as u32 + 2_000,
                not_taken: number as u32 + 3_000,
                unsure: outcome.is_unsure() && tried,
            },
            follow_ups: Vec::new(),
        }
    };
    let batch: Vec<Settlement> = held
        .iter()
        .chain(&lost)
        .enumerate()
        .map(|(number, held)| settlement(number, held))
        .collect();
    let batch = shuffled(world, batch);
    let answers = world.store.settle(&batch).await.unwrap();
    let ours: BTreeSet<MessageId> = held.iter().map(|held| held.id).collect();
    let mut retried = BTreeMap::new();
    for (settlement, answer) in batch.iter().zip(answers) {
        let detail = world.detail(settlement.id).await;
        if !ours.contains(&settlement.id) {
            assert_eq!(
                (answer, detail.message.status),
                (Settled::LeaseLost, Status::Pending)
            );
            assert_eq!(detail.attempts, []);
            continue;
        }
        assert_eq!(answer, Settled::Applied);
        let recorded = detail.attempts.first().map(|attempt| AttemptRecord {
            outcome: attempt.outcome,
            error_code: attempt.error_code.clone(),
            occurred_at: attempt.occurred_at,
            latency: attempt.latency,
            provider_message_id: attempt.provider_message_id.clone(),
        });
        assert_eq!(recorded, settlement.tried);
        let (status, failure) = match &settlement.disposition {
            Disposition::Finish => (Status::Dispatched, None),
            Disposition::Reroute { .. } => unreachable!("none in this batch"),
            Disposition::Retry { after } => {
                assert_eq!(detail.waiting.unwrap().due, *after == ALREADY);
                if *after == ALREADY {
                    retried.insert(settlement.id, settlement.progress);
                }
                (Status::Pending, None)
            }
            Disposition::DeadLetter(reason) => {
                let last = settlement.tried.as_ref();
                let failure = Failure {
                    reason: *reason,
                    error_code: last.and_then(|tried| tried.error_code.clone()),
                };
                (Status::Failed, Some(failure))
            }
        };
        assert_eq!((detail.message.status, detail.message.failure), (status, failure));
    }
    let claimed = world.claim(SMS, 2 * MANY as u32, NOT_YET).await;
    let progress = claimed
        .iter()
        .map(|claimed| (claimed.leased.id, claimed.leased.progress));
    let progress: BTreeMap<_, _> = progress.filter(|(id, _)| ours.contains(id)).collect();
    assert_eq!(progress, retried);
}

pub(crate) async fn only_what_is_held_is_released(world: &World) {
    let held = leased(world, MANY).await;
    let leases: Vec<(MessageId, LeaseToken)> = held
        .iter()
        .enumerate()
        .map(|(number, held)| (held.id, LeaseToken(held.token.0 + (number % 3) as i64)))
        .collect();
    let ours: BTreeSet<MessageId> = held.iter().step_by(3).map(|held| held.id).collect();
    let leases = shuffled(world, leases);
    let ids = leases.iter().map(|(id, _)| *id);
    let expected: Vec<MessageId> = ids.filter(|id| ours.contains(id)).collect();
    assert_eq!(world.store.release(&leases).await, Ok(expected));
    let free = world.claim(SMS, MANY as u32, NOT_YET).await;
    let free: BTreeSet<MessageId> = free.iter().map(|claimed| claimed.leased.id).collect();
    assert_eq!(free, ours);
}

pub(crate) async fn a_sweep_returns_every_dead_letter(world: &World) {
    let mut expected = Vec::new();
    let mut batch = Vec::new();
    for number in 0..MANY {
        let lease_expired = number.is_multiple_of(3);
        let (draft, provider, channel) = match number % 2 {
            0 => (world.outbound(), SMS, Channel::Sms),
            _ => (
                world.outbound().email("a@example.com", "b@example.com"),
                EMAIL,
                Channel::Email,
            ),
        };
        let draft = draft.deadline(if number.is_multiple_of(5) {
            NOT_YET
        } else {
            ALREADY
        });
        let accept = match lease_expired {
            true => draft.leased(ALREADY).accept(),
            false => draft.accept(),
        };
        let served = provider == SMS;
        if !served || !number.is_multiple_of(5) {
            expected.push(DeadLetter {
                id: accept.id,
                provider: name(provider),
                channel,
                reason: match served {
                    true => FailureReason::Deadline,
                    false => FailureReason::NoProvider,
                },
                lease_expired,
            });
        }
        batch.push(accept);
    }
    let batch = shuffled(world, batch);
    world.accept_all(&batch).await;
    assert_eq!(world.sweep(&[SMS], MANY as u32).await, expected);
}

pub(crate) async fn a_redrive_takes_the_first_accepted(world: &World) {
    let mut dead = leased(world, MANY).await;
    let reason = FailureReason::Exhausted;
    let burials: Vec<Settlement> = dead
        .iter()
        .map(|held| held.tried(Outcome::Error, crate::builders::dead(reason)))
        .collect();
    world.store.settle(&burials).await.unwrap();
    let all = RedriveFilter::default();
    let terms = in_place(NOT_YET, NOT_YET);
    let redriven = world.store.redrive_matching(&all, &terms, MANY as u32 / 2).await;
    assert_eq!(redriven.unwrap().redriven, MANY as u64 / 2);
    dead.sort_by_key(|held| held.id);
    for (place, held) in dead.iter().enumerate() {
        let pending = world.status(held.id).await == Status::Pending;
        assert_eq!(pending, place < MANY / 2, "the one accepted as number {place}");
    }
}

pub(crate) async fn many_attempts_are_listed_in_order(world: &World) {
    const ATTEMPTS: u32 = 40;
    let id = world.accept(world.outbound()).await;
    for _ in 0..ATTEMPTS {
        let held = world.claim_one(SMS, NOT_YET).await;
        world.settle(held.tried(Outcome::Error, retry(ALREADY))).await;
    }
    let attempts = world.detail(id).await.attempts;
    assert!(attempts.iter().map(|attempt| attempt.number).eq(1..=ATTEMPTS));
}
