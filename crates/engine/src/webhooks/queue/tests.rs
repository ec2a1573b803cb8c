//! The queue against a simple model of the log, the store and an endpoint.

use domain::{ConversationId, Entropy, EventSubject, MessageId, WebhookEndpointId, WebhookPayload};
use proptest::prelude::*;
use store::{DELIVERY_ATTEMPTS_KEPT, EndpointConfig, EndpointUrl, PendingLimits, WebhookSecret};

use super::{entry::ANSWERS_KEPT, *};

mod held;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const BASE: &str = "2026-11-21T10:00:00Z";

/// The log, the rows and the clock of a world with one endpoint, and the queue that delivers to it.
struct World {
    now: Duration,
    log: Vec<Event>,
    cursor: EventId,
    rows: BTreeMap<EventId, WebhookDelivery>,
    failing_since: Option<Timestamp>,
    last_success: Option<Timestamp>,
    disabled: Option<DisabledReason>,
    queue: Queue,
    calls: Vec<Event>,
    /// Every call that got through, and those events.
    delivered: Vec<EventId>,
    known: BTreeSet<EventId>,
    attempts: BTreeMap<EventId, Vec<Duration>>,
    not_before: BTreeMap<EventId, Duration>,
    random: Entropy,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            now: HOUR,
            log: Vec::new(),
            cursor: EventId::START,
            rows: BTreeMap::new(),
            failing_since: None,
            last_success: None,
            disabled: None,
            queue: Queue::new(&endpoint(EventId::START, None, None), HOUR),
            calls: Vec::new(),
            delivered: Vec::new(),
            known: BTreeSet::new(),
            attempts: BTreeMap::new(),
            not_before: BTreeMap::new(),
            random: Entropy::from_seed(1),
        };
        world.lease();
        world
    }

    fn wall(&self) -> Timestamp {
        Timestamp::parse(BASE).unwrap().saturating_add(self.now)
    }

    /// Appends an event of a conversation; ids have gaps.
    fn append(&mut self, conversation: i64) -> EventId {
        let gap = 1 + self.random.next_u64() % 3;
        let id = EventId::new(self.log.last().map_or(0, |last| last.id.get()) + gap).unwrap();
        self.log.push(Event {
            id,
            kind: EventType::MessageAccepted,
            at: self.wall(),
            subject: EventSubject::Message {
                message_id: MessageId::mint(self.wall(), &self.random),
                conversation_id: ConversationId::new(conversation + 1).unwrap(),
                reason: None,
                error_code: None,
            },
        });
        id
    }

    /// The node dies, and another takes over.
    fn lease(&mut self) {
        self.calls.clear();
        self.not_before.clear();
        let endpoint = endpoint(self.cursor, self.failing_since, self.last_success);
        self.queue = Queue::new(&endpoint, self.now);
    }

    /// Loads some of the deliveries on record; false if none are wanted.
    fn load(&mut self, rows: u32) -> bool {
        let Some(after) = self.queue.wants_deliveries() else {
            return false;
        };
        let pending = self
            .rows
            .values()
            .filter(|row| row.status == DeliveryStatus::Pending);
        let next = pending.filter(|row| row.event.id > after).take(rows as usize + 1);
        let limits = PendingLimits {
            rows,
            bytes: u32::MAX,
        };
        let found = next.map(|row| (row.clone(), 0)).collect();
        let page = PendingPage::of(found, limits, self.wall());
        self.queue.load(page, self.now);
        true
    }

    /// As the store replays the events after a place.
    fn replay(&mut self, place: EventId) {
        self.cursor = self.cursor.min(place);
        let due_at = Some(self.wall());
        for row in self.rows.values_mut().filter(|row| row.event.id > place) {
            if row.status == DeliveryStatus::Failed {
                row.status = DeliveryStatus::Pending;
                (row.due_at, row.attempts) = (due_at, Vec::new());
            }
        }
        self.lease();
    }

    /// Loads all deliveries that are wanted, and reads on in the log.
    fn read(&mut self) {
        while self.load(256) {}
        self.read_log();
    }

    /// As the store enables a disabled endpoint.
    fn enable(&mut self) {
        (self.disabled, self.failing_since) = (None, None);
        let due_at = Some(self.wall());
        let rows = self.rows.values_mut();
        for row in rows.filter(|row| row.status == DeliveryStatus::Pending) {
            row.due_at = row.due_at.and(due_at);
            row.attempts.clear();
        }
        self.lease();
    }

    fn read_log(&mut self) {
        if let Some((after, limit)) = self.queue.wants() {
            let next = self.log.partition_point(|event| event.id <= after);
            let events = self.log[next..].iter().take(limit as usize).cloned().collect();
            self.queue.read(events, self.now);
        }
    }

    /// Starts what is due, and checks that it may be called.
    fn start(&mut self) {
        while let Some(event) = self.queue.next(self.now) {
            let lane = LaneKey::of(&event);
            assert!(
                self.calls.iter().all(|other| LaneKey::of(other) != lane),
                "two calls of one conversation"
            );
            let not_before = self.not_before.get(&event.id).copied().unwrap_or_default();
            assert!(self.now >= not_before, "called before its Retry-After");
            self.attempts.entry(event.id).or_default().push(self.now);
            self.calls.push(event);
        }
        assert!(self.calls.len() <= CALLS_MAX);
    }

    fn finish(&mut self, index: usize, status: Option<u16>, retry_after: Option<Duration>) {
        let event = self.calls.remove(index);
        let delivered = status.is_some_and(|status| (200..300).contains(&status));
        if delivered {
            self.delivered.push(event.id);
            self.known.insert(event.id);
        }
        if let Some(retry_after) = retry_after {
            self.not_before.insert(event.id, self.now + retry_after);
        }
        let attempt = DeliveryAttempt {
            at: self.wall(),
            latency: Duration::ZERO,
            status,
            error: "".into(),
            answer: "answer".into(),
        };
        let result = CallResult {
            delivered,
            attempt,
            retry_after,
        };
        let now = Now {
            monotonic: self.now,
            wall: self.wall(),
        };
        let random = self.random.next_u64();
        self.queue.finish(event.id, result, now, random);
    }

    /// Finishes all calls; `answer` maps a conversation to a status.
    fn finish_all(&mut self, answer: impl Fn(i64) -> u16) {
        while let Some(event) = self.calls.first() {
            let status = answer(conversation(event));
            self.finish(0, Some(status), None);
        }
    }

    fn checkpoint(&mut self) {
        let progress = self.queue.checkpoint(self.now);
        assert!(progress.cursor >= self.cursor, "the cursor went back");
        self.cursor = progress.cursor;
        for id in progress.done {
            assert!(self.rows.remove(&id).is_some(), "done without a row");
        }
        for kept in progress.kept {
            let delivery = WebhookDelivery {
                due_at: kept.due_in.map(|due_in| self.wall().saturating_add(due_in)),
                event: kept.event,
                status: kept.status,
                attempts: kept.attempts,
            };
            self.rows.insert(delivery.event.id, delivery);
        }
        if progress.delivered > 0 {
            (self.last_success, self.failing_since) = (Some(self.wall()), None);
        }
        let failing_since = self.failing_since.unwrap_or_else(|| self.wall());
        self.failing_since = progress.failing.then_some(failing_since);
        self.disabled = progress.disable;
        let failed = |row: &&WebhookDelivery| row.status == DeliveryStatus::Failed;
        let ahead = self
            .rows
            .values()
            .filter(failed)
            .find(|row| row.event.id > self.cursor);
        assert!(ahead.is_none(), "the log yields {ahead:?} again");
        self.check_nothing_is_lost();
    }

    /// Every event up to the cursor got through, or has a row.
    fn check_nothing_is_lost(&self) {
        for event in self.log.iter().filter(|event| event.id <= self.cursor) {
            let known = self.rows.contains_key(&event.id) || self.known.contains(&event.id);
            assert!(known, "{} is lost", event.id);
        }
    }

    /// In each conversation, the first deliveries of events are in their order.
    fn check_order(&self) {
        let mut seen = BTreeSet::new();
        let mut latest = BTreeMap::new();
        for id in self.delivered.iter().filter(|id| seen.insert(**id)) {
            let event = self.log.binary_search_by_key(id, |event| event.id).unwrap();
            let before = latest.insert(LaneKey::of(&self.log[event]), *id);
            assert!(before < Some(*id), "{id} came after {before:?}");
        }
    }

    fn pending(&self) -> usize {
        let pending = |row: &&WebhookDelivery| row.status == DeliveryStatus::Pending;
        self.rows.values().filter(pending).count()
    }

    /// Reads, calls and stores until nothing is due.
    fn settle(&mut self, answer: impl Fn(i64) -> u16) {
        for step in 0.. {
            self.read();
            self.start();
            let is_idle = self.calls.is_empty();
            self.finish_all(&answer);
            self.now += Duration::from_millis(1);
            if is_idle || self.queue.is_disabled() || step % 64 == 0 {
                self.checkpoint();
            }
            // A checkpoint may make room to read on.
            let reads_on = self.queue.wants().is_some_and(|(after, _)| self.end() > after);
            if self.disabled.is_some() || (is_idle && !reads_on) {
                return;
            }
        }
    }

    fn end(&self) -> EventId {
        self.log.last().map_or(EventId::START, |last| last.id)
    }

    /// Every event of a conversation that got through, in order.
    fn delivered_of(&self, wanted: i64) -> usize {
        let of_it = self.log.iter().filter(|event| conversation(event) == wanted);
        of_it.filter(|event| self.known.contains(&event.id)).count()
    }

    fn failed(&self) -> usize {
        self.rows.len() - self.pending()
    }

    /// Goes through `time`, from one due time to the next.
    fn pass(&mut self, time: Duration, answer: impl Fn(i64) -> u16) {
        let end = self.now + time;
        while self.now < end {
            self.settle(&answer);
            if self.disabled.is_some() {
                return;
            }
            self.now = self.queue.next_due().map_or(end, |due| due.clamp(self.now, end));
        }
    }
}

fn endpoint(
    cursor: EventId,
    failing_since: Option<Timestamp>,
    last_delivered_at: Option<Timestamp>,
) -> Endpoint {
    let created_at = Timestamp::parse(BASE).unwrap();
    Endpoint {
        id: WebhookEndpointId::mint(created_at, &Entropy::from_seed(2)),
        config: EndpointConfig {
            url: EndpointUrl("https://example.com".into()),
            types: None,
            payload: WebhookPayload::Full,
            description: None,
        },
        secret: WebhookSecret(Box::new([7; 32])),
        previous_secrets: Vec::new(),
        enabled: true,
        disabled_reason: None,
        created_at,
        cursor,
        replay_until: None,
        delivered_total: 0,
        last_delivered_at,
        failing_since,
    }
}

fn conversation(event: &Event) -> i64 {
    event.subject.conversation_id().map_or(0, |id| id.get() - 1)
}

#[derive(Debug, Clone)]
enum Step {
    Append(i64),
    Read,
    Start,
    Finish(usize, u16, Option<u64>),
    Advance(u64),
    Checkpoint,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop_oneof![4 => Just(200), 2 => Just(500), 1 => Just(429), 1 => Just(302)];
    let retry_after = prop_oneof![3 => Just(None), 1 => (0..100_u64).prop_map(Some)];
    prop_oneof![
        6 => (0..4_i64).prop_map(Step::Append),
        4 => Just(Step::Read),
        4 => Just(Step::Start),
        8 => (0..CALLS_MAX, status, retry_after).prop_map(|(call, status, retry_after)| {
            Step::Finish(call, status, retry_after.filter(|_| status != 200))
        }),
        3 => (0..400_u64).prop_map(Step::Advance),
        3 => Just(Step::Checkpoint),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_event_gets_through_in_the_order_of_its_conversation(
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Append(conversation) => drop(world.append(conversation)),
                Step::Read => {
                    world.load(2);
                    world.read_log();
                }
                Step::Start => world.start(),
                Step::Finish(call, status, retry_after) if !world.calls.is_empty() => {
                    let retry_after = retry_after.map(Duration::from_secs);
                    world.finish(call % world.calls.len(), Some(status), retry_after);
                }
                Step::Finish(..) => {}
                Step::Advance(seconds) => world.now += SECOND * u32::try_from(seconds).unwrap(),
                Step::Checkpoint => world.checkpoint(),
                Step::Crash => world.lease(),
            }
            world.check_order();
        }
        world.not_before.clear();
        world.finish_all(|_| 200);
        world.pass(13 * HOUR, |_| 200);
        world.check_order();
        prop_assert_eq!(world.pending(), 0);
        for event in &world.log {
            prop_assert!(world.delivered.contains(&event.id), "{} did not get through", event.id);
        }
        prop_assert_eq!(world.cursor, world.log.last().map_or(EventId::START, |last| last.id));
    }
}

#[test]
fn events_behind_a_failing_one_are_on_record_without_a_time_and_follow_it() {
    let mut world = World::new();
    let [first, second] = [(); 2].map(|()| world.append(0));
    world.settle(|_| 500);
    let third = world.append(0);
    world.settle(|_| 500);
    let due: Vec<_> = world.rows.values().map(|row| row.due_at.is_some()).collect();
    assert_eq!(due, [true, false, false]);
    assert_eq!(world.attempts[&first].len(), 1);
    world.pass(6 * SECOND, |_| 200);
    assert_eq!(world.delivered, [first, second, third]);
}

#[test]
fn an_event_that_always_fails_is_given_up_after_three_days_while_others_get_through() {
    let mut world = World::new();
    let poison = world.append(0);
    let behind = world.append(0);
    let began = world.now;
    while world.now < began + 80 * HOUR {
        world.append(1);
        loop {
            world.read();
            world.start();
            if world.calls.is_empty() {
                break;
            }
            let status = if world.calls[0].id == poison { 500 } else { 200 };
            world.finish(0, Some(status), None);
        }
        world.checkpoint();
        world.now += SECOND * 600;
    }
    assert_eq!(world.disabled, None);
    assert_eq!(world.rows[&poison].status, DeliveryStatus::Failed);
    assert!(world.delivered.contains(&behind), "the queue goes on");
    let attempts = &world.attempts[&poison];
    assert!((10..=13).contains(&attempts.len()), "{}", attempts.len());
    let tried = *attempts.last().unwrap() - attempts[0];
    assert!(
        (GIVE_UP_AFTER..GIVE_UP_AFTER + HOUR).contains(&tried),
        "{tried:?}"
    );
}

#[test]
fn an_endpoint_that_takes_nothing_for_three_days_is_disabled_and_loses_nothing() {
    let mut world = World::new();
    let event = world.append(0);
    let began = world.now;
    world.pass(80 * HOUR, |_| 503);
    assert_eq!(world.disabled, Some(DisabledReason::Failing));
    assert_eq!(world.rows[&event].status, DeliveryStatus::Pending);
    let failed_for = world.now - began;
    assert!(
        (GIVE_UP_AFTER..GIVE_UP_AFTER + HOUR).contains(&failed_for),
        "{failed_for:?}"
    );
    world.enable();
    world.pass(SECOND, |_| 500);
    assert_eq!(
        (world.disabled, world.pending()),
        (None, 1),
        "it gets another three days"
    );
    world.pass(20 * HOUR, |_| 200);
    assert_eq!(world.delivered, [event]);
}

#[test]
fn gone_disables_at_once_and_the_event_is_not_taken() {
    let mut world = World::new();
    let events = [0, 1].map(|conversation| world.append(conversation));
    world.settle(|_| GONE);
    assert_eq!(world.disabled, Some(DisabledReason::Gone));
    world.start();
    assert!(world.calls.is_empty());
    world.disabled = None;
    world.lease();
    world.pass(SECOND * 10, |_| 200);
    assert_eq!(BTreeSet::from_iter(world.delivered), BTreeSet::from(events));
}

#[test]
fn after_an_outage_the_first_success_makes_everything_due() {
    let mut world = World::new();
    for conversation in 0..10 {
        world.append(conversation);
    }
    world.pass(HOUR, |_| 500);
    assert_eq!(world.pending(), 10);
    world.append(10);
    world.settle(|_| 200);
    assert_eq!((world.pending(), world.delivered.len()), (0, 11));
}

#[test]
fn events_that_always_fail_are_not_tried_with_each_success_of_others() {
    let mut world = World::new();
    let poison = [0, 1, 2].map(|conversation| world.append(conversation));
    for _ in 0..30 {
        world.append(3);
        world.pass(
            20 * SECOND,
            |conversation| if conversation < 3 { 500 } else { 200 },
        );
    }
    for event in poison {
        let attempts = world.attempts[&event].len();
        assert!((3..=4).contains(&attempts), "{attempts} in ten minutes");
    }
}

#[test]
fn a_call_that_takes_long_does_not_hold_the_cursor() {
    let mut world = World::new();
    let slow = world.append(0);
    world.read();
    world.start();
    for event in 0..2_000 {
        world.append(1 + event % 50);
        world.read();
        world.start();
        while world.calls.len() > 1 {
            world.finish(1, Some(200), None);
        }
        world.checkpoint();
    }
    assert!(world.cursor > slow);
    assert_eq!(world.pending(), 1);
    assert!(world.queue.ahead.len() <= AHEAD_MAX + 1);
    world.finish(0, Some(200), None);
    world.checkpoint();
    assert_eq!(world.pending(), 0);
}

#[test]
fn a_replay_keeps_the_order_and_sends_what_was_given_up_again() {
    let mut world = World::new();
    let events = [(); 6].map(|()| world.append(0));
    world.settle(|_| 200);
    let last = world.append(0);
    world.settle(|_| 500);
    let given_up = world.rows.get(&last).cloned().map(|row| WebhookDelivery {
        status: DeliveryStatus::Failed,
        event: world.log[3].clone(),
        ..row
    });
    world.rows.extend(given_up.map(|row| (row.event.id, row)));
    world.delivered.clear();
    world.replay(EventId::START);
    // The delivery on record is due before the events in front of it are read.
    world.now += HOUR;
    world.start();
    assert!(world.calls.is_empty());
    world.settle(|_| 200);
    assert_eq!(world.delivered, [&events[..], &[last]].concat());
    assert_eq!((world.cursor, world.rows.len()), (last, 0));
}

#[test]
fn an_event_that_is_given_up_is_behind_the_cursor_with_the_same_checkpoint() {
    let mut world = World::new();
    let slow = world.append(0);
    let poison = world.append(1);
    world.settle(|conversation| if conversation == 1 { 500 } else { 200 });
    world.now += SECOND;
    world.append(2);
    world.settle(|_| 200);
    world.replay(EventId::START);
    world.now += GIVE_UP_AFTER;
    world.read();
    world.start();
    let call = world.calls.iter().position(|event| event.id == poison);
    world.finish(call.unwrap(), Some(500), None);
    world.checkpoint();
    assert_eq!(world.rows[&poison].status, DeliveryStatus::Failed);
    assert_eq!(world.rows[&slow].status, DeliveryStatus::Pending);
}

#[test]
fn more_deliveries_than_fit_are_loaded_part_by_part() {
    let mut world = World::new();
    let total = 2 * HELD_MAX + 10;
    for event in 0..total {
        world.append(i64::try_from(event % 7).unwrap());
    }
    // As after a replay of failed deliveries.
    world.cursor = world.log.last().unwrap().id;
    for event in world.log.clone() {
        let delivery = WebhookDelivery {
            event,
            status: DeliveryStatus::Pending,
            due_at: None,
            attempts: Vec::new(),
        };
        world.rows.insert(delivery.event.id, delivery);
    }
    world.lease();
    world.append(0);
    for _ in 0..10 {
        world.settle(|_| 200);
        world.check_order();
    }
    assert_eq!(world.delivered.len(), total + 1);
    assert_eq!(world.pending(), 0);
}

#[test]
fn types_that_are_not_wanted_are_passed_over_also_on_record() {
    let mut world = World::new();
    world.append(0);
    world.settle(|_| 500);
    world.append(0);
    let mut endpoint = endpoint(world.cursor, None, None);
    endpoint.config.types = Some(vec![EventType::MessageFailed]);
    world.queue = Queue::new(&endpoint, world.now);
    world.read();
    world.now += HOUR;
    world.start();
    assert!(world.calls.is_empty());
    let progress = world.queue.checkpoint(world.now);
    assert_eq!((progress.done, progress.delivered), (vec![world.cursor], 0));
    assert_eq!(progress.cursor, world.log[1].id);
}

#[test]
fn a_busy_endpoint_is_left_alone_as_long_as_it_asks() {
    let mut world = World::new();
    for conversation in 0..3 {
        world.append(conversation);
    }
    world.read();
    world.start();
    world.finish(0, Some(TOO_MANY_REQUESTS), Some(20 * SECOND));
    world.finish_all(|_| 200);
    world.append(4);
    world.read();
    world.start();
    assert!(world.calls.is_empty());
    assert_eq!(world.queue.next_due(), Some(world.now + 20 * SECOND));
    world.now += 20 * SECOND;
    world.start();
    assert_eq!(world.calls.len(), 2);
}

#[test]
fn attempts_and_answers_on_record_are_bounded() {
    let mut attempts = Vec::new();
    for attempt in 0..50 {
        let attempt = DeliveryAttempt {
            at: Timestamp::from_micros(attempt).unwrap(),
            latency: SECOND,
            status: Some(500),
            error: "status".into(),
            answer: "x".into(),
        };
        record(&mut attempts, attempt);
    }
    assert_eq!(attempts.len(), DELIVERY_ATTEMPTS_KEPT);
    assert_eq!(
        attempts[0].at.as_micros(),
        0,
        "it says how long the event is tried"
    );
    assert_eq!(attempts[DELIVERY_ATTEMPTS_KEPT - 1].at.as_micros(), 49);
    let answers = attempts.iter().filter(|attempt| !attempt.answer.is_empty());
    assert_eq!(answers.count(), ANSWERS_KEPT);
}
