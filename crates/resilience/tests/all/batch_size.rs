use std::time::Duration;

use proptest::prelude::*;
use trunkline_resilience::BatchSize;

const TARGET: Duration = Duration::from_millis(300);

/// Full batches over a link of this speed.
fn walk(bytes_per_sec: f64, batches: usize) -> Vec<(usize, Duration)> {
    let mut size = BatchSize::new(1_000, 64_000, 4_000_000, TARGET);
    let batch = |_| {
        let bytes = size.get();
        let took = Duration::from_secs_f64(bytes as f64 / bytes_per_sec);
        size.succeeded(bytes, took);
        (bytes, took)
    };
    (0..batches).map(batch).collect()
}

#[test]
fn a_fast_link_gets_full_batches_soon() {
    let sizes: Vec<usize> = walk(1e9, 8).into_iter().map(|(bytes, _)| bytes).collect();
    assert_eq!(sizes[..4], [64_000, 128_000, 256_000, 512_000]);
    assert_eq!(sizes[7], 4_000_000);
}

#[test]
fn after_one_slow_batch_the_next_fits_the_target() {
    let batches = walk(20_000.0, 3);
    assert_eq!(batches[0].1, Duration::from_millis(3_200));
    assert_eq!(batches[1].0, 6_000);
    assert_eq!(batches[2].0, 6_000);
}

#[test]
fn small_batches_say_nothing_about_larger_ones() {
    let mut size = BatchSize::new(1, 100, 1_000, TARGET);
    size.succeeded(40, Duration::ZERO);
    assert_eq!(size.get(), 100);
    size.succeeded(51, TARGET / 2);
    assert_eq!(size.get(), 200);
    size.succeeded(200, TARGET);
    assert_eq!(size.get(), 200, "neither quick nor slow");
    // An item larger than the batch was slow: no reason for larger batches.
    size.succeeded(900, TARGET * 2);
    assert_eq!(size.get(), 200);
}

#[test]
fn failures_halve_down_to_the_smallest() {
    let mut size = BatchSize::new(1, 100, 100, TARGET);
    let sizes: Vec<usize> = (0..8)
        .map(|_| {
            size.failed(size.get(), Duration::ZERO);
            size.get()
        })
        .collect();
    assert_eq!(sizes, [50, 25, 12, 6, 3, 1, 1, 1]);
}

#[test]
fn after_a_timeout_the_next_fits_the_target() {
    let mut size = BatchSize::new(1, 1_000, 1_000, TARGET);
    size.failed(1_000, TARGET * 5);
    assert_eq!(size.get(), 200);
}

proptest! {
    #[test]
    fn on_any_link_the_second_full_batch_takes_no_longer_than_the_target(bytes_per_sec in 4_000.0..1e10_f64) {
        for (bytes, took) in walk(bytes_per_sec, 30).into_iter().skip(1) {
            let margin = Duration::from_millis(1);
            prop_assert!(took <= TARGET + margin, "{bytes} bytes took {took:?}");
        }
    }

    #[test]
    fn it_stays_within_its_bounds(
        batches in prop::collection::vec((any::<bool>(), 0..10_000_usize, 0..1_000_u64), 0..50)
    ) {
        let mut size = BatchSize::new(3, 50, 700, TARGET);
        for (succeeds, batch, millis) in batches {
            match succeeds {
                true => size.succeeded(batch, Duration::from_millis(millis)),
                false => size.failed(batch, Duration::from_millis(millis)),
            }
            prop_assert!((3..=700).contains(&size.get()));
        }
    }
}
