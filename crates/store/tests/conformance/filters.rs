//! Listings of messages with every filter and any combination, against the same filter written here.

use std::collections::BTreeSet;

use domain::{
    Channel, ConversationId, Direction, FailureReason, Message, MessageId, Outcome, PageRequest, Participant,
    ProviderName, ReceiptStatus, Start, Status, Timestamp, Total,
};
use trunkline_store::{Disposition, MessageFilter};

use crate::{
    builders::{ALREADY, Draft, EMAIL, Held, NOT_YET, SMS, dead, name, retry},
    import::{key_of, past},
    walks::WALK_MAX,
    world::World,
};

/// Combinations that are tried.
const COMBINATIONS: usize = 250;

/// A message and what its filters compare.
struct Listed {
    message: Message,
    from: Participant,
    to: Participant,
}

/// How a message of the population ends.
#[derive(Clone, Copy)]
enum End {
    Waits,
    Scheduled,
    Leased,
    Retried,
    Dispatched,
    Delivered,
    Undelivered,
    Failed,
    Canceled,
    Received,
    Imported,
}

const ENDS: [End; 11] = [
    End::Waits,
    End::Scheduled,
    End::Leased,
    End::Retried,
    End::Dispatched,
    End::Delivered,
    End::Undelivered,
    End::Failed,
    End::Canceled,
    End::Received,
    End::Imported,
];

/// Messages of every status, channel, direction and provider, between few participants.
async fn population(world: &World) -> Vec<Listed> {
    let mut accepts = Vec::new();
    for number in 0..132 {
        let end = ENDS[number % ENDS.len()];
        let provider_message_id = format!("p{number}");
        let draft = match end {
            End::Received => world.inbound(&provider_message_id),
            End::Scheduled => world.outbound().send_in(NOT_YET * 24),
            End::Waits | End::Canceled | End::Imported => world.outbound(),
            _ => world.outbound().leased(NOT_YET),
        };
        let one = world.below(3) as u32;
        let other = 3 + world.below(2) as u32;
        let (from, to) = if world.below(2) == 0 {
            (one, other)
        } else {
            (other, one)
        };
        let draft = match world.below(4) {
            0 => draft.email(&format!("{from}@example.com"), &format!("{to}@example.com")),
            1 => draft.between(from, to).mms(&["https://example.com/a"]),
            _ => draft.between(from, to),
        };
        let draft: Draft = if world.below(3) == 0 {
            draft.by("other")
        } else {
            draft
        };
        let accept = draft.accept();
        accepts.push(accept.clone());
        if matches!(end, End::Imported) {
            let import = past(accept, Direction::Outbound, &provider_message_id);
            world.store.import(&[import]).await.unwrap();
            continue;
        }
        world.accept_all(std::slice::from_ref(&accept)).await;
        let held = Held::at_accept(accept.id);
        let settlement = match end {
            End::Retried => held.tried(Outcome::Error, retry(ALREADY)),
            End::Dispatched => held.tried(Outcome::Success, Disposition::Finish),
            End::Delivered | End::Undelivered => held.taken_as(&provider_message_id),
            End::Failed => held.tried(Outcome::Rejected, dead(FailureReason::Rejected)),
            End::Canceled => {
                world.store.cancel(accept.id).await.unwrap();
                continue;
            }
            End::Waits | End::Scheduled | End::Leased | End::Received | End::Imported => continue,
        };
        world.settle(settlement).await;
        let status = match end {
            End::Delivered => ReceiptStatus::Delivered,
            End::Undelivered => ReceiptStatus::Undelivered,
            _ => continue,
        };
        let mut receipt = world.receipt_of(&provider_message_id, status);
        receipt.provider = None;
        assert_eq!(world.store_receipt(&receipt).await, Some(accept.id));
    }
    // Half of the imported messages get their conversations.
    let unassigned = world.store.without_conversation(None, 6).await.unwrap();
    let assigned: Vec<_> = unassigned.iter().map(key_of).collect();
    world.store.assign(&assigned).await.unwrap();
    let mut population = Vec::new();
    for accept in accepts.into_iter().rev() {
        population.push(Listed {
            message: world.detail(accept.id).await.message,
            from: accept.message.from,
            to: accept.message.to,
        });
    }
    let seen: BTreeSet<&str> = population
        .iter()
        .map(|listed| listed.message.status.as_str())
        .collect();
    assert_eq!(seen.len(), Status::ALL.len(), "{seen:?}");
    population
}

fn matches(filter: &MessageFilter, listed: &Listed) -> bool {
    let Listed { message, from, to } = listed;
    let is = |wanted: bool, equal: bool| !wanted || equal;
    is(filter.status.is_some(), filter.status == Some(message.status))
        && is(
            filter.channel.is_some(),
            filter.channel == Some(message.content.channel),
        )
        && is(filter.provider.is_some(), filter.provider == message.provider)
        && is(
            filter.direction.is_some(),
            filter.direction == Some(message.direction),
        )
        && is(filter.from.is_some(), filter.from.as_ref() == Some(from))
        && is(filter.to.is_some(), filter.to.as_ref() == Some(to))
        && is(
            filter.conversation_id.is_some(),
            filter.conversation_id == message.thread.map(|(conversation, _)| conversation),
        )
        && is(filter.since.is_some(), filter.since <= Some(message.processed_at))
}

/// All that a listing has, by pages of this size; by number if not by cursor.
async fn listed(world: &World, filter: &MessageFilter, size: u32, by_cursor: bool) -> (Vec<Message>, Total) {
    let mut all = Vec::new();
    let mut start: Start<MessageId> = Start::First;
    for number in 2.. {
        let page = PageRequest::new(size, start);
        let page = world.store.messages(filter, &page).await.unwrap();
        all.extend(page.items);
        assert!(all.len() < WALK_MAX, "the walk does not end");
        match page.next {
            Some(position) if by_cursor => start = Start::After(position),
            Some(_) => start = Start::Page(number),
            None => return (all, page.total),
        }
    }
    unreachable!("the loop returns");
}

async fn compare(world: &World, population: &[Listed], filter: &MessageFilter, size: u32, by_cursor: bool) {
    let expected: Vec<&Message> = population
        .iter()
        .filter(|listed| matches(filter, listed))
        .map(|listed| &listed.message)
        .collect();
    let (found, total) = listed(world, filter, size, by_cursor).await;
    assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    assert_eq!(total, Total::exact(expected.len() as u64), "{filter:?}");
}

/// The values that a filter can have.
struct Values {
    providers: Vec<ProviderName>,
    participants: Vec<Participant>,
    conversations: Vec<ConversationId>,
    times: Vec<Timestamp>,
}

impl Values {
    /// Those of a population, and some that match nothing.
    fn of(population: &[Listed]) -> Self {
        let participants: BTreeSet<Participant> = population
            .iter()
            .flat_map(|listed| [listed.from.clone(), listed.to.clone()])
            .chain([Participant::from_stored("+19999999999")])
            .collect();
        let conversations: BTreeSet<ConversationId> = population
            .iter()
            .filter_map(|listed| listed.message.thread.map(|(conversation, _)| conversation))
            .chain(ConversationId::new(1_000_000))
            .collect();
        let processed = |listed: &Listed| listed.message.processed_at;
        let mut times: Vec<Timestamp> = population.iter().step_by(7).map(processed).collect();
        times.extend([
            Timestamp::EARLIEST,
            processed(&population[0]).saturating_add(NOT_YET),
        ]);
        Self {
            providers: [SMS, EMAIL, "other", "unknown"].map(name).into(),
            participants: participants.into_iter().collect(),
            conversations: conversations.into_iter().collect(),
            times,
        }
    }
}

pub(crate) async fn each_filter_alone_lists_what_matches(world: &World) {
    let population = population(world).await;
    let values = Values::of(&population);
    let all = MessageFilter::default();
    let mut filters = vec![all.clone()];
    let mut add = |filter: MessageFilter| filters.push(filter);
    for status in Status::ALL {
        add(MessageFilter {
            status: Some(*status),
            ..all.clone()
        });
    }
    for channel in Channel::ALL {
        add(MessageFilter {
            channel: Some(*channel),
            ..all.clone()
        });
    }
    for direction in Direction::ALL {
        add(MessageFilter {
            direction: Some(*direction),
            ..all.clone()
        });
    }
    for provider in values.providers {
        add(MessageFilter {
            provider: Some(provider),
            ..all.clone()
        });
    }
    for participant in values.participants {
        add(MessageFilter {
            from: Some(participant.clone()),
            ..all.clone()
        });
        add(MessageFilter {
            to: Some(participant),
            ..all.clone()
        });
    }
    for conversation in values.conversations {
        add(MessageFilter {
            conversation_id: Some(conversation),
            ..all.clone()
        });
    }
    for since in values.times {
        add(MessageFilter {
            since: Some(since),
            ..all.clone()
        });
    }
    for filter in &filters {
        compare(world, &population, filter, 200, true).await;
    }
}

pub(crate) async fn filters_together_list_what_matches_all(world: &World) {
    let population = population(world).await;
    let values = Values::of(&population);
    for round in 0..COMBINATIONS {
        // Few filters at a time, so that something is found; and values of one message, so that they agree.
        let wanted = |of: u64| world.below(of) == 0;
        let example = &population[world.below(population.len() as u64) as usize];
        let filter = if wanted(4) {
            let pick = |count: usize| world.below(count as u64) as usize;
            MessageFilter {
                status: wanted(3).then(|| Status::ALL[pick(Status::ALL.len())]),
                channel: wanted(3).then(|| Channel::ALL[pick(Channel::ALL.len())]),
                provider: wanted(3).then(|| values.providers[pick(values.providers.len())].clone()),
                direction: wanted(3).then(|| Direction::ALL[pick(Direction::ALL.len())]),
                from: wanted(4).then(|| values.participants[pick(values.participants.len())].clone()),
                to: wanted(4).then(|| values.participants[pick(values.participants.len())].clone()),
                conversation_id: wanted(4).then(|| values.conversations[pick(values.conversations.len())]),
                since: wanted(3).then(|| values.times[pick(values.times.len())]),
            }
        } else {
            let message = &example.message;
            MessageFilter {
                status: wanted(3).then_some(message.status),
                channel: wanted(3).then_some(message.content.channel),
                provider: message.provider.clone().filter(|_| wanted(3)),
                direction: wanted(3).then_some(message.direction),
                from: wanted(3).then(|| example.from.clone()),
                to: wanted(3).then(|| example.to.clone()),
                conversation_id: message
                    .thread
                    .map(|(conversation, _)| conversation)
                    .filter(|_| wanted(3)),
                since: wanted(3).then_some(message.processed_at),
            }
        };
        let size = [1, 3, 7, 200][world.below(4) as usize];
        compare(world, &population, &filter, size, round % 3 != 0).await;
    }
}
