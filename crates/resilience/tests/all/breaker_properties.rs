//! Properties of every sequence of inputs. `breaker_model` has the rules.

use std::time::Duration;

use proptest::prelude::*;
use trunkline_resilience::breaker::{BreakerSettings, BreakerState, Capacity, HALF_OPEN_UNDECIDED, Verdict};

use crate::breaker_model::{Input, Model};

fn any_settings() -> impl Strategy<Value = BreakerSettings> {
    (1_u32..6, 1_u64..40, 1_u32..12, 1_u32..8, 1_u32..5).prop_map(
        |(error_threshold, open, times, half_open_samples, half_open_in_flight)| {
            let open = Duration::from_secs(open);
            let max_open = open * times;
            BreakerSettings {
                error_threshold,
                open,
                max_open,
                half_open_samples,
                half_open_in_flight,
            }
        },
    )
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![1 => Just(Verdict::Success), 1 => Just(Verdict::Answered), 3 => Just(Verdict::Failure)]
}

fn any_time() -> impl Strategy<Value = Duration> {
    let window = HALF_OPEN_UNDECIDED.as_millis() as u64;
    prop_oneof![4 => 0_u64..2_000, 2 => 0_u64..50_000, 1 => window - 1..=window + 1, 1 => 0_u64..1_300_000]
        .prop_map(Duration::from_millis)
}

fn any_input() -> impl Strategy<Value = (Input, u64)> {
    let input = prop_oneof![
        4 => any_time().prop_map(Input::Pass),
        2 => Just(Input::Tick),
        8 => Just(Input::Admit),
        8 => (any::<usize>(), any_verdict()).prop_map(|(which, verdict)| Input::Record(which, verdict)),
        1 => any::<usize>().prop_map(Input::Cancel),
        1 => any::<usize>().prop_map(Input::Lose),
    ];
    (input, any::<u64>())
}

fn run(settings: BreakerSettings, inputs: Vec<(Input, u64)>) -> Result<Model, TestCaseError> {
    let mut model = Model::new(settings);
    for (input, random) in inputs {
        model.apply(input, random)?;
    }
    Ok(model)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn every_answer_is_by_the_rules(
        settings in any_settings(), inputs in prop::collection::vec(any_input(), 1..200),
    ) {
        let model = run(settings, inputs)?;
        for pair in model.transitions.windows(2) {
            prop_assert_eq!(pair[0].to, pair[1].from);
        }
    }

    #[test]
    fn a_provider_that_answers_is_never_cut_off(
        settings in any_settings(), inputs in prop::collection::vec(any_input(), 1..200),
    ) {
        let answered = inputs.into_iter().map(|(input, random)| match input {
            Input::Record(which, Verdict::Failure) => (Input::Record(which, Verdict::Answered), random),
            other => (other, random),
        });
        prop_assert!(run(settings, answered.collect())?.transitions.is_empty());
    }

    #[test]
    fn a_provider_that_is_back_is_found_out(
        settings in any_settings(),
        inputs in prop::collection::vec(any_input(), 1..200),
        good in prop_oneof![Just(Verdict::Success), Just(Verdict::Answered)],
    ) {
        let Model { mut breaker, mut now, .. } = run(settings, inputs)?;
        // A cool-down and two windows of lost probes.
        let at_the_latest = now + settings.max_open + HALF_OPEN_UNDECIDED * 2;
        loop {
            let _ = breaker.tick(now, 0);
            while let Capacity::Permits(1..) = breaker.capacity(now) {
                let permit = breaker.admit(now, 0).0.unwrap();
                let _ = breaker.record(permit, good, now, 0);
            }
            if breaker.snapshot(now).state == BreakerState::Closed {
                break;
            }
            let sleep = breaker.next_change_in(now).unwrap();
            prop_assert!(sleep > Duration::ZERO, "a driver that only sleeps would spin");
            now += sleep;
            prop_assert!(now <= at_the_latest, "still {:?}", breaker);
        }
    }
}
