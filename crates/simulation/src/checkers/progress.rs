//! Progress: while the store and a provider are well and its breaker is closed, a due message is tried in time, however large
//! it is, however slow the link, and however many messages wait.

use std::{collections::BTreeMap, time::Duration};

use domain::MessageId;

use crate::plan::Settings;

pub(super) const RULE: &str = "a due message is tried in time while the store is well";

/// For delays that are not computed: late looks at the outbox, breakers that have just closed.
const MARGIN: Duration = Duration::from_secs(60);
/// Claims that ask for too much before they shrink enough: each holds its entries for a lease.
const LOST_CLAIMS_MAX: u32 = 8;

/// How long each due message has waited, in good times only.
#[derive(Default)]
pub(super) struct Progress(BTreeMap<MessageId, Waiting>);

struct Waiting {
    /// Calls made for it by then.
    calls: usize,
    lasting: Duration,
}

/// A due message as it is found.
pub(crate) struct Due {
    pub(crate) message: MessageId,
    /// Whether everything it needs was well since the last look.
    pub(crate) well: bool,
    pub(crate) body_bytes: usize,
}

impl Progress {
    /// Looks at all due messages. `calls` returns the number of calls for a message so far.
    pub(super) fn look(
        &mut self,
        since_last: Duration,
        due: &[Due],
        calls: impl Fn(MessageId) -> usize,
        settings: &Settings,
    ) -> Option<String> {
        let mut before = std::mem::take(&mut self.0);
        let bytes: usize = due.iter().map(|due| due.body_bytes).sum();
        let longest = longest(settings, due.len(), bytes);
        for one in due {
            let calls = calls(one.message);
            let mut lasting = Duration::ZERO;
            if let Some(waiting) = before
                .remove(&one.message)
                .filter(|waiting| waiting.calls == calls)
            {
                lasting = waiting.lasting;
            }
            if one.well {
                lasting += since_last;
            }
            self.0.insert(one.message, Waiting { calls, lasting });
        }
        let late = self.0.iter().find(|(_, waiting)| waiting.lasting > longest);
        late.map(|(id, waiting)| {
            format!(
                "{id} is due for {:?} of good times, and {longest:?} is enough for the {} that are due",
                waiting.lasting,
                due.len()
            )
        })
    }
}

/// The longest wait for a turn, lost claims included.
fn longest(settings: &Settings, backlog: usize, bytes: usize) -> Duration {
    let dispatch = &settings.engine.dispatch;
    let call = match settings.simulators {
        Some(_) => dispatch.lane.call_timeout,
        None => settings.provider_trip_max * 2 + settings.store_trip_max * 4,
    };
    let rounds = backlog.div_ceil(dispatch.lane.concurrency) as u32;
    // Two trips for each claim without a result.
    let link = settings.link.map_or(Duration::ZERO, |rate| {
        Duration::from_secs_f64(4.0 * bytes as f64 / rate as f64)
    });
    dispatch.lease * LOST_CLAIMS_MAX
        + dispatch.lane.call_timeout * 2
        + dispatch.poll * 2
        + call * rounds
        + link
        + MARGIN
}
