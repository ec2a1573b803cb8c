use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use domain::{Clock, Timestamp};
use rusqlite::{Connection, OptionalExtension};

/// How often the time is saved in the file: the most that the clock goes back when the machine's clock is set back between
/// two runs. Saving adds a page to a commit, so it is rare.
const SAVED_EVERY: Duration = Duration::from_secs(10);

/// The clock of the database: the wall clock when the file was opened, plus a monotonic clock. A step of the wall clock
/// changes no lease, due time, deadline or age. The clock never starts before the time saved in the file.
#[derive(Debug)]
pub(super) struct DatabaseClock {
    clock: Arc<dyn Clock>,
    opened_at: Timestamp,
    /// The monotonic clock when the file was opened.
    origin: Duration,
    /// The time last saved, in microseconds.
    saved: AtomicI64,
}

impl DatabaseClock {
    /// Starts the clock. The database need not be migrated yet.
    pub(super) fn start(connection: &Connection, clock: Arc<dyn Clock>) -> rusqlite::Result<Self> {
        let migrated = connection
            .prepare("select 1 from sqlite_schema where name = 'clock'")?
            .exists([])?;
        let saved: Option<i64> = if migrated {
            connection
                .query_row(include_str!("../../sql/clock/get.sqlite.sql"), [], |row| {
                    row.get(0)
                })
                .optional()?
        } else {
            None
        };
        let saved = saved.unwrap_or(i64::MIN);
        let now = clock.now();
        Ok(Self {
            opened_at: Timestamp::from_micros(saved).map_or(now, |saved| saved.max(now)),
            origin: clock.monotonic(),
            clock,
            saved: AtomicI64::new(saved),
        })
    }

    pub(super) fn now(&self) -> Timestamp {
        let passed = self.clock.monotonic().saturating_sub(self.origin);
        self.opened_at.saturating_add(passed)
    }

    /// Saves the time, at most once in [`SAVED_EVERY`].
    pub(super) fn save(&self, connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
        let now = now.as_micros();
        let saved = self.saved.load(Ordering::Relaxed);
        if now.saturating_sub(saved) >= super::micros(SAVED_EVERY) {
            connection
                .prepare_cached(include_str!("../../sql/clock/save.sqlite.sql"))?
                .execute([now])?;
            self.saved.store(now, Ordering::Relaxed);
        }
        Ok(())
    }
}
