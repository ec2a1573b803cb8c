//! Receipts in any order, with any repeats, before, between and after what happens to the message: all end alike.

use domain::{Delivery, ErrorCode, EventType, MessageId, Outcome, Receipt, ReceiptStatus, Status};

use crate::{
    builders::{Held, NOT_YET, PROVIDER_ID, instant, retry},
    world::World,
};

use ReceiptStatus::{Delivered, Sent, Undelivered};

/// What six receipts say: statuses, error codes and times, of which some are equal.
const SETS: [[(ReceiptStatus, Option<&str>, i64); 6]; 3] = [
    [
        (Sent, None, 9),
        (Undelivered, Some("blocked"), 1),
        (Undelivered, Some("expired"), 1),
        (Delivered, None, 7),
        (Delivered, Some("late"), 5),
        (Sent, None, 2),
    ],
    [
        (Undelivered, Some("blocked"), 4),
        (Sent, None, 1),
        (Undelivered, Some("a_b"), 3),
        (Undelivered, Some("ab"), 3),
        (Sent, Some("queued"), 8),
        (Undelivered, None, 6),
    ],
    [
        (Delivered, Some("b"), 2),
        (Delivered, None, 2),
        (Delivered, Some("a"), 2),
        (Undelivered, None, 1),
        (Sent, None, 0),
        (Delivered, Some("c"), 1),
    ],
];

/// Every order of the first `count` numbers.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut orders = vec![Vec::new()];
    for _ in 0..count {
        orders = orders
            .iter()
            .flat_map(|order: &Vec<usize>| {
                let left = (0..count).filter(|place| !order.contains(place));
                left.map(|place| [&order[..], &[place]].concat())
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    orders
}

/// What happens to the message beside the receipts.
#[derive(Clone, Copy, Debug)]
enum Course {
    /// The provider takes it at once.
    Taken,
    /// The first attempt times out, and it waits for the next: receipts prove that it was taken.
    Unsure,
}

/// A message, its receipts in one order with some repeated, and the place among them at which it is settled.
struct Run {
    id: MessageId,
    course: Course,
    provider_message_id: String,
    receipts: Vec<Receipt>,
    settled_at: usize,
}

impl Run {
    fn of(world: &World, id: MessageId, number: usize, set: usize, order: &[usize]) -> Self {
        let course = if number.is_multiple_of(3) {
            Course::Unsure
        } else {
            Course::Taken
        };
        let provider_message_id = format!("{PROVIDER_ID}-{number}");
        let mut receipts = Vec::new();
        for place in order {
            let (status, code, second) = SETS[set][*place];
            let said = |by_own_id: bool| Receipt {
                error_code: code.map(ErrorCode::from_provider),
                at: instant(second),
                ..if by_own_id {
                    world.receipt_for(id, status)
                } else {
                    world.receipt_of(&provider_message_id, status)
                }
            };
            // Which id it names, whether it comes twice and where the repeat comes are drawn from a fixed seed. The provider of
            // an attempt that timed out gave no id.
            let by_own_id = matches!(course, Course::Unsure) || world.below(2) == 0;
            receipts.push(said(by_own_id));
            if world.below(3) == 0 {
                let at = world.below(receipts.len() as u64 + 1) as usize;
                receipts.insert(at, said(by_own_id));
            }
        }
        let settled_at = world.below(receipts.len() as u64 + 1) as usize;
        Self {
            id,
            course,
            provider_message_id,
            receipts,
            settled_at,
        }
    }

    async fn carry_out(&self, world: &World) {
        let settle = async || {
            let held = Held::at_accept(self.id);
            let settlement = match self.course {
                Course::Taken => held.taken_as(&self.provider_message_id),
                Course::Unsure => held.tried(Outcome::Timeout, retry(NOT_YET)),
            };
            world.settle(settlement).await;
        };
        for (place, receipt) in self.receipts.iter().enumerate() {
            if place == self.settled_at {
                settle().await;
            }
            let expected = (place >= self.settled_at).then_some(self.id);
            assert_eq!(world.store_receipt(receipt).await, expected);
        }
        if self.settled_at == self.receipts.len() {
            settle().await;
        }
    }
}

pub(crate) async fn every_order_and_repeat_ends_alike(world: &World) {
    let mut runs = Vec::new();
    for count in 1..=6 {
        for (number, order) in orders(count).iter().enumerate() {
            let set = number % SETS.len();
            let id = world.accept(world.outbound().leased(NOT_YET)).await;
            let run = Run::of(world, id, runs.len(), set, order);
            run.carry_out(world).await;
            runs.push((run, set, count));
        }
    }
    assert_eq!(runs.len(), 1 + 2 + 6 + 24 + 120 + 720);
    assert_eq!(world.match_receipts(NOT_YET, 100).await, 0, "none is left");
    let events = world.events().await;
    for (run, _, _) in &runs {
        let detail = world.detail(run.id).await;
        let expected = Delivery::fold(&run.receipts);
        let status = Status::of_outbound(None, false, expected.as_ref().map(|delivery| delivery.status));
        assert_eq!(detail.message.delivery, expected, "{:?}", run.receipts);
        assert_eq!(detail.message.status, status);
        assert_eq!(detail.waiting, None);
        assert_eq!(detail.receipts, run.receipts);
        let mut kinds: Vec<EventType> = events
            .iter()
            .filter(|event| event.subject.message_id() == Some(run.id))
            .map(|event| event.kind)
            .collect();
        kinds.retain(|kind| *kind != EventType::ConversationCreated);
        let after: &[EventType] = match (status, kinds.len()) {
            (Status::Dispatched, _) => &[],
            (Status::Undelivered, _) => &[EventType::MessageUndelivered],
            (_, 3) => &[EventType::MessageDelivered],
            // It was undelivered at first.
            _ => &[EventType::MessageUndelivered, EventType::MessageDelivered],
        };
        let first = [EventType::MessageAccepted, EventType::MessageDispatched];
        assert_eq!(kinds, [&first, after].concat(), "{:?}", run.receipts);
    }
    // All orders of the same six receipts say the same.
    for set in 0..SETS.len() {
        let ends: Vec<_> = runs
            .iter()
            .filter(|(_, other, count)| (*other, *count) == (set, 6))
            .map(|(run, ..)| Delivery::fold(&run.receipts))
            .collect();
        assert!(ends.len() > 200 && ends.windows(2).all(|pair| pair[0] == pair[1]));
    }
    assert_eq!(world.claim(crate::builders::SMS, 10, NOT_YET).await, []);
}
