use std::time::Duration;

use anyhow::{Context, bail};
use domain::Clock;

use super::Store;
use crate::load::Tally;

const POLL: Duration = Duration::from_millis(50);

const COUNTS: &str = "select
    (select count(*) from messages),
    (select count(*) from messages_with_status where status = 'dispatched'),
    (select count(*) from attempts where outcome = 'success'),
    (select count(*) from outbox),
    (select cast(coalesce(sum(message_count), 0) as bigint) from conversations)";

/// What is stored after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) messages: u64,
    pub(crate) dispatched: u64,
    pub(crate) successes: u64,
    pub(crate) waiting: u64,
    /// According to the conversations.
    pub(crate) counted: u64,
}

impl Contents {
    pub(crate) async fn read(store: &Store) -> anyhow::Result<Self> {
        let [messages, dispatched, successes, waiting, counted] =
            store.integers(COUNTS).await?.map(i64::unsigned_abs);
        Ok(Self {
            messages,
            dispatched,
            successes,
            waiting,
            counted,
        })
    }

    /// The messages added since then.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            messages: self.messages - earlier.messages,
            dispatched: self.dispatched - earlier.dispatched,
            successes: self.successes - earlier.successes,
            waiting: self.waiting.saturating_sub(earlier.waiting),
            counted: self.counted - earlier.counted,
        }
    }

    /// Compares the stored messages with the acknowledged ones: each acknowledged message once, and no others except requests
    /// whose answer was lost.
    pub(crate) fn check_stored(self, tallies: &[&Tally]) -> anyhow::Result<()> {
        let accepted: u64 = tallies.iter().map(|tally| tally.accepted).sum();
        let unanswered: u64 = tallies.iter().map(|tally| tally.unanswered).sum();
        if self.messages < accepted {
            bail!(
                "{accepted} messages were acknowledged and only {} are stored",
                self.messages
            );
        }
        if self.messages > accepted + unanswered {
            bail!(
                "{} messages are stored and only {accepted} were accepted",
                self.messages
            );
        }
        if self.counted != self.messages {
            bail!(
                "conversations count {} of {} messages",
                self.counted,
                self.messages
            );
        }
        Ok(())
    }

    /// The same after the backlog drained: each message was dispatched once, and the attempt is recorded.
    pub(crate) fn check_dispatched(self, tallies: &[&Tally]) -> anyhow::Result<()> {
        self.check_stored(tallies)?;
        let Self {
            messages,
            dispatched,
            successes,
            waiting,
            ..
        } = self;
        if (dispatched, successes, waiting) != (messages, messages, 0) {
            bail!(
                "of {messages} messages {dispatched} are dispatched, {successes} successes are on record, \
                 {waiting} still wait"
            );
        }
        Ok(())
    }
}

/// Messages waiting in the outbox.
pub(crate) async fn backlog(store: &Store) -> anyhow::Result<u64> {
    let [waiting] = store
        .integers("select count(*) from outbox where dead_at is null")
        .await?;
    Ok(waiting.unsigned_abs())
}

/// Waits until the outbox is empty, and returns how long that took.
pub(crate) async fn drain(store: &Store, clock: &dyn Clock, max: Duration) -> anyhow::Result<Duration> {
    let began = clock.monotonic();
    let emptied = async {
        loop {
            let [waits] = store
                .integers("select count(*) from (select 1 from outbox where dead_at is null limit 1) as one")
                .await?;
            if waits == 0 {
                return anyhow::Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    };
    match tokio::time::timeout(max, emptied).await {
        Ok(emptied) => emptied?,
        Err(_) => {
            let waiting = backlog(store).await?;
            Err(anyhow::anyhow!("{waiting} messages still wait after {max:?}"))
                .context("draining the outbox")?;
        }
    }
    Ok(clock.monotonic() - began)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(accepted: u64, unanswered: u64) -> Tally {
        let mut tally = Tally::new();
        (0..accepted).for_each(|_| tally.answered(202, Duration::ZERO));
        (0..unanswered).for_each(|_| tally.broken(String::new()));
        tally
    }

    fn contents(messages: u64) -> Contents {
        Contents {
            messages,
            dispatched: messages,
            successes: messages,
            waiting: 0,
            counted: messages,
        }
    }

    #[test]
    fn losses_and_duplicates_are_found() {
        let tally = tally(10, 2);
        for (messages, right) in [(9, false), (10, true), (12, true), (13, false)] {
            assert_eq!(
                contents(messages).check_dispatched(&[&tally]).is_ok(),
                right,
                "{messages}"
            );
        }
    }

    #[test]
    fn what_is_not_dispatched_or_not_recorded_is_found() {
        let tally = tally(10, 0);
        let right = contents(10);
        for wrong in [
            Contents {
                dispatched: 9,
                ..right
            },
            Contents {
                successes: 11,
                ..right
            },
            Contents { waiting: 1, ..right },
            Contents { counted: 9, ..right },
        ] {
            assert!(wrong.check_dispatched(&[&tally]).is_err(), "{wrong:?}");
        }
    }
}
