//! More clients never mean less throughput.

use std::time::Duration;

use simulation::{Crowd, Goodput, goodput};

/// Batches end at other places with other numbers of clients, so the last of them may or may not be in time.
const AS_MUCH_PERCENT: usize = 90;
/// The promised time to an answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

#[test]
fn goodput_never_falls_when_clients_are_added() {
    for (body_bytes, bytes_per_second) in [
        // The case that found it: emails of 200 KB at 6 MB/s.
        (200_000, 6_000_000),
        (200_000, 1_000_000),
        (20_000, 1_000_000),
        (1_000, 200_000),
    ] {
        let mut best = Goodput::default();
        for clients in [1, 4, 16, 64, 256] {
            let crowd = Crowd {
                clients,
                body_bytes,
                bytes_per_second,
                lasting: Duration::from_secs(8),
            };
            let got = goodput(crowd);
            println!("{crowd:?}: {got:?}");
            assert!(
                got.acknowledged * 100 >= best.acknowledged * AS_MUCH_PERCENT,
                "{crowd:?}: {got:?}, and fewer clients had {best:?}"
            );
            assert_eq!((got.unknown, got.unanswered), (0, 0), "{crowd:?}: {got:?}");
            assert!(got.slowest <= ANSWER_MAX, "{crowd:?}: {got:?}");
            if got.acknowledged > best.acknowledged {
                best = got;
            }
        }
    }
}
