use std::time::Duration;

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// The next one on a connection after the last answer.
    Closed,
    /// A fixed number a second, due at fixed moments.
    Open {
        /// Requests a second; above zero.
        rate: f64,
    },
}

impl Pace {
    /// When the request with this number is due, from the start; `None` in a closed loop.
    pub(crate) fn due(self, number: u64) -> Option<Duration> {
        match self {
            Self::Closed => None,
            Self::Open { rate } => Some(Duration::from_secs_f64(number as f64 / rate)),
        }
    }
}

/// The latency of a request, from when it was due, even if all connections were busy then.
pub(crate) fn latency(due: Option<Duration>, sent: Duration, answered: Duration) -> Duration {
    answered.saturating_sub(due.map_or(sent, |due| due.min(sent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Latencies of one connection to a server with these service times.
    fn latencies(pace: Pace, service: impl Fn(u64) -> Duration, requests: u64) -> Vec<Duration> {
        let mut free = Duration::ZERO;
        (0..requests)
            .map(|number| {
                let due = pace.due(number);
                let sent = free.max(due.unwrap_or(free));
                free = sent + service(number);
                latency(due, sent, free)
            })
            .collect()
    }

    #[test]
    fn requests_are_due_at_even_distances() {
        let pace = Pace::Open { rate: 200.0 };
        assert_eq!(pace.due(0), Some(Duration::ZERO));
        assert_eq!(pace.due(7), Some(35 * MS));
        assert_eq!(Pace::Closed.due(7), None);
    }

    #[test]
    fn a_stall_is_charged_for_everybody_who_would_have_come_meanwhile() {
        let stalls_once = |number| if number == 0 { 1_000 * MS } else { MS };
        let open = latencies(Pace::Open { rate: 100.0 }, stalls_once, 200);
        // The second request was due after 10 ms, sent after 1,000 and answered after 1,001.
        assert_eq!(&open[..3], [1_000 * MS, 991 * MS, 982 * MS]);
        let slow = open.iter().filter(|latency| **latency > 100 * MS).count();
        assert_eq!(slow, 100, "of a stall of 1 s at 100 requests a second");
        assert_eq!(open[199], MS, "it catches up");

        let closed = latencies(Pace::Closed, stalls_once, 200);
        let slow = closed.iter().filter(|latency| **latency > 100 * MS).count();
        assert_eq!(
            slow, 1,
            "a closed loop omits this, so it is only used to find rates"
        );
    }

    #[test]
    fn a_request_sent_early_counts_from_when_it_was_sent() {
        assert_eq!(latency(Some(10 * MS), 9 * MS, 12 * MS), 3 * MS);
    }
}
