use std::{collections::VecDeque, time::Duration};

use domain::MessageId;

use super::work::Work;

/// How long to wait before a failing store is asked again. It doubles with each failure, up to the maximum. Claims wait until
/// all results are recorded, and should not wait much longer than the outage lasts.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(200);
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Work that failed alone while other work did not. It is retried one by one, with pauses after failures, so that other work has
/// most of the time.
pub(super) struct SetAside {
    works: VecDeque<Work>,
    pause: Duration,
    /// When the first is retried, by the monotonic clock.
    due: Duration,
}

impl SetAside {
    pub(super) fn new() -> Self {
        Self {
            works: VecDeque::new(),
            pause: PAUSE_MIN,
            due: Duration::ZERO,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.works.len()
    }

    pub(super) fn has(&self, id: MessageId) -> bool {
        self.works.iter().any(|work| work.id() == id)
    }

    pub(super) fn push(&mut self, work: Work, now: Duration) {
        if self.works.is_empty() {
            self.pause = PAUSE_MIN;
            self.due = now + PAUSE_MIN;
        }
        self.works.push_back(work);
    }

    /// Adds work about a message that has some here. Its entry was claimed again, so the earlier work can be recorded by now.
    pub(super) fn push_later(&mut self, work: Work, now: Duration) {
        self.works.push_back(work);
        self.due = now;
    }

    /// How long until the first is due; `None` when there is none.
    pub(super) fn due_in(&self, now: Duration) -> Option<Duration> {
        (!self.works.is_empty()).then(|| self.due.saturating_sub(now))
    }

    pub(super) fn take_due(&mut self, now: Duration) -> Option<Work> {
        self.due_in(now)?.is_zero().then(|| self.works.pop_front())?
    }

    pub(super) fn recorded(&mut self) {
        self.pause = PAUSE_MIN;
    }

    pub(super) fn failed(&mut self, left: Vec<Work>, now: Duration) {
        self.works.extend(left);
        self.due = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}
