use std::time::Duration;

use domain::Entropy;
use tokio::{sync::watch, task::JoinSet};

use crate::world::{Client, Event, EventStream, SOON, Targets, page};

/// How long a reader waits for the next event of a stream before it does something else.
const PATIENCE: Duration = Duration::from_millis(700);
/// After a request without an answer.
const PAUSE: Duration = Duration::from_millis(20);
/// Events of one page.
const PAGE_MAX: u64 = 1_000;

/// Readers that start, stop and change between nodes, pages and streams at random.
pub(super) struct Readers {
    /// The last event of the log, once it is known.
    end: watch::Sender<Option<String>>,
    readers: JoinSet<Vec<Walk>>,
}

/// Events that a reader got one after another.
#[derive(Default)]
struct Walk {
    /// The place it began after; empty at the oldest event. `None` if it began with the next event.
    after: Option<String>,
    /// Where it continues; `None` while it has no place.
    cursor: Option<String>,
    events: Vec<Event>,
}

impl Walk {
    /// Begins at the oldest event if `place` is empty.
    fn after(place: &str) -> Self {
        Self {
            after: Some(place.to_owned()),
            cursor: Some(place.to_owned()),
            events: Vec::new(),
        }
    }
}

impl Readers {
    pub(super) fn start(count: u64, targets: &Targets) -> Self {
        let end = watch::Sender::new(None);
        let readers = (0..count)
            .map(|number| read(Entropy::from_seed(number), targets.clone(), end.subscribe()))
            .collect();
        Self { end, readers }
    }

    /// Waits until all readers have reached the end of this log, and compares what they saw with it. Returns the number of their
    /// walks.
    pub(super) async fn end(mut self, log: &[Event]) -> usize {
        let last = log.last().expect("there are events");
        self.end.send_replace(Some(last.id.clone()));
        let mut walks = 0;
        let all_end = async {
            while let Some(read) = self.readers.join_next().await {
                for walk in read.unwrap() {
                    check(&walk, log);
                    walks += 1;
                }
            }
        };
        let ended = tokio::time::timeout(SOON, all_end).await;
        ended.expect("all readers reach the end of the log");
        walks
    }
}

/// A walk is an unbroken piece of the log.
fn check(walk: &Walk, log: &[Event]) {
    let Some(first) = walk.events.first() else { return };
    let begin = log.iter().position(|event| event == first);
    let begin = begin.unwrap_or_else(|| panic!("not in the log: {first:?}"));
    for (seen, event) in walk.events.iter().zip(&log[begin..]) {
        assert_eq!(
            seen, event,
            "a reader that began with {first:?} saw another order"
        );
    }
    assert!(walk.events.len() <= log.len() - begin);
    match walk.after.as_deref() {
        Some("") => assert_eq!(begin, 0, "it began at the oldest"),
        Some(after) => assert_eq!(log[begin - 1].id, after, "it skipped events"),
        None => {}
    }
}

async fn read(random: Entropy, targets: Targets, end: watch::Receiver<Option<String>>) -> Vec<Walk> {
    let client = Client::new().with_timeout(Duration::from_secs(5));
    let draw = |range: u64| random.next_u64() % range;
    let mut walks = vec![Walk::after("")];
    loop {
        let last = walks.last_mut().expect("it has one");
        let goal = end.borrow().clone();
        if goal.is_some() && last.cursor >= goal {
            return walks;
        }
        if goal.is_none() && last.events.len() > 100 && draw(12) == 0 {
            let middle = last.events.len() / 2;
            let walk = match draw(8) {
                0 => Walk::after(""),
                1..5 => Walk::after(&last.events[middle].id),
                _ => Walk::default(),
            };
            walks.push(walk);
        }
        let walk = walks.last_mut().expect("it has one");
        let url = targets.pick(draw(16) as usize).url;
        let count = 1 + draw(PAGE_MAX);
        match walk.cursor.clone() {
            // A stream cannot name the oldest event.
            Some(cursor) if cursor.is_empty() || draw(2) == 0 => {
                match page(&client, &url, &cursor, count as usize).await {
                    Ok(page) => {
                        walk.events.extend(page.events);
                        walk.cursor = Some(page.next);
                    }
                    // The node was killed. The walk continues elsewhere.
                    Err(_) => tokio::time::sleep(PAUSE).await,
                }
            }
            cursor => {
                if let Ok(mut stream) = EventStream::open(&client, &url, cursor.as_deref()).await {
                    for _ in 0..count {
                        let Ok(Some(event)) = tokio::time::timeout(PATIENCE, stream.next()).await else {
                            break;
                        };
                        walk.cursor = Some(event.id.clone());
                        walk.events.push(event);
                    }
                }
                // Nothing happens any more.
                if walk.cursor.is_none() && end.borrow().is_some() {
                    *walk = Walk::after("");
                }
            }
        }
    }
}

/// The log from its oldest event to its end.
pub(in crate::lifecycle) async fn whole_log(client: &Client, url: &str) -> Vec<Event> {
    let mut log: Vec<Event> = Vec::new();
    loop {
        let cursor = log.last().map(|event| event.id.clone()).unwrap_or_default();
        let page = page(client, url, &cursor, PAGE_MAX as usize).await;
        let events = page.unwrap_or_else(|error| panic!("{error}")).events;
        if events.is_empty() {
            return log;
        }
        log.extend(events);
    }
}
