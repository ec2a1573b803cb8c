use super::*;
use crate::simulator::SimulatorSettings;

fn shares([timeout_pct, error_pct, ratelimit_pct]: [u8; 3]) -> Faults {
    Faults {
        timeout_pct,
        error_pct,
        ratelimit_pct,
        ..Faults::default()
    }
}

fn own([timeout_pct, error_pct, ratelimit_pct]: [Option<u8>; 3]) -> FaultOverrides {
    FaultOverrides {
        timeout_pct,
        error_pct,
        ratelimit_pct,
        ..FaultOverrides::default()
    }
}

fn problems(all: [u8; 3], providers: &[(&str, FaultOverrides)]) -> Vec<String> {
    problems_of(shares(all), providers)
}

fn problems_of(all: Faults, providers: &[(&str, FaultOverrides)]) -> Vec<String> {
    let mut config = SimulatorConfig::from(all);
    let providers = providers.iter().map(|(name, own)| ((*name).to_owned(), *own));
    config.providers.extend(providers);
    let settings = SimulatorSettings {
        config,
        ..SimulatorSettings::default()
    };
    let error = settings.check().err();
    error.map_or_else(Vec::new, |error| {
        error.problems.iter().map(ToString::to_string).collect()
    })
}

#[test]
fn overrides_win_field_by_field() {
    let mut config = SimulatorConfig::from(Faults {
        seed: Some(1),
        ..shares([10, 20, 30])
    });
    let overrides = FaultOverrides {
        error_pct: Some(0),
        seed: Some(2),
        ..FaultOverrides::default()
    };
    config.providers.insert("email".to_owned(), overrides);
    let effective = |name: &str| config.effective(&name.parse().unwrap());
    assert_eq!(
        effective("sms-mms"),
        Faults {
            seed: Some(1),
            ..shares([10, 20, 30])
        }
    );
    assert_eq!(
        effective("email"),
        Faults {
            seed: Some(2),
            ..shares([10, 0, 30])
        }
    );
    assert_eq!(
        ["sms-mms", "email"].map(|name| effective(name).success_pct()),
        [40, 60]
    );
}

#[test]
fn each_problem_names_its_place() {
    let sum = |sum| {
        format!(
            "timeout_pct, error_pct, ratelimit_pct and rejected_pct add up to {sum} here: lower them to 100 or less \
             together"
        )
    };
    let percentage = "error_pct: use an integer from 0 to 100".to_owned();
    let at_email = |detail: &str| format!("email: {detail}");
    let calm = own([Some(0), None, None]);
    let more = own([None, Some(31), None]);
    for (all, providers, expected) in [
        ([100, 0, 0], &[][..], vec![]),
        ([50, 30, 20], &[], vec![]),
        ([0, 200, 0], &[], vec![percentage.clone()]),
        (
            [0, 0, 0],
            &[("email", own([None, Some(101), None]))],
            vec![at_email(&percentage)],
        ),
        ([50, 30, 20], &[("email", more)], vec![at_email(&sum(101))]),
        // Only what is in effect for a simulator counts.
        ([90, 90, 0], &[], vec![sum(180)]),
        ([90, 90, 0], &[("email", calm)], vec![sum(180)]),
        (
            [90, 90, 0],
            &[("email", more)],
            vec![sum(180), at_email(&sum(121))],
        ),
        ([90, 90, 0], &[("email", calm), ("sms-mms", calm)], vec![]),
        (
            [0, 0, 0],
            &[("sms", calm)],
            vec!["sms: is no simulated provider: use sms-mms or email".to_owned()],
        ),
    ] {
        assert_eq!(problems(all, providers), expected, "{all:?} {providers:?}");
    }
}

#[test]
fn rejections_and_latencies_are_overridden_and_checked() {
    let milliseconds = Duration::from_millis;
    let all = Faults {
        rejected_pct: 30,
        timeout_taken_pct: 100,
        latency: milliseconds(20),
        latency_max: Some(milliseconds(50)),
        ..shares([50, 20, 0])
    };
    let own = |change: fn(&mut FaultOverrides)| {
        let mut own = FaultOverrides::default();
        change(&mut own);
        own
    };
    let too_late = "use an integer from 0 to 3600000";
    let reversed = |least| format!("email: latency_max_ms: use latency_ms, which is {least} here, or more");
    for (own, expected) in [
        (own(|_| ()), vec![]),
        (own(|own| own.latency = Some(Duration::from_millis(50))), vec![]),
        (own(|own| own.latency = Some(Duration::from_millis(51))), vec![reversed(51)]),
        (own(|own| own.latency_max = Some(Duration::from_millis(19))), vec![reversed(20)]),
        (
            own(|own| own.latency_max = Some(Faults::LATENCY_MAX + Duration::from_millis(1))),
            vec![format!("email: latency_max_ms: {too_late}")],
        ),
        (own(|own| own.timeout_taken_pct = Some(0)), vec![]),
        (
            own(|own| own.timeout_taken_pct = Some(101)),
            vec!["email: timeout_taken_pct: use an integer from 0 to 100".to_owned()],
        ),
        (
            own(|own| own.rejected_pct = Some(31)),
            vec![
                "email: timeout_pct, error_pct, ratelimit_pct and rejected_pct add up to 101 here: lower them to 100 \
                 or less together"
                    .to_owned(),
            ],
        ),
    ] {
        assert_eq!(problems_of(all, &[("email", own)]), expected, "{own:?}");
        if expected.is_empty() {
            let mut config = SimulatorConfig::from(all);
            config.providers.insert("email".to_owned(), own);
            let email = config.effective(&"email".parse().unwrap());
            let latency = own.latency.unwrap_or(all.latency);
            assert_eq!((email.rejected_pct, email.success_pct()), (30, 0));
            assert_eq!(email.timeout_taken_pct, own.timeout_taken_pct.unwrap_or(100));
            assert_eq!(email.latency_range(), (latency, milliseconds(50)));
            assert_eq!(config.effective(&"sms-mms".parse().unwrap()), all);
        }
    }
    let all = Faults {
        latency_max: Some(milliseconds(19)),
        ..all
    };
    // It holds for both simulators, and is one problem.
    assert_eq!(
        problems_of(all, &[]),
        ["latency_max_ms: use latency_ms, which is 20 here, or more"]
    );
    let all = Faults {
        latency: Faults::LATENCY_MAX + milliseconds(1),
        latency_max: None,
        ..all
    };
    assert_eq!(problems_of(all, &[]), [format!("latency_ms: {too_late}")]);
}

#[test]
fn receipts_are_overridden_and_checked_like_faults() {
    let settings = |receipts: ReceiptShares, own: ReceiptOverrides| {
        let mut settings = SimulatorSettings::default();
        settings.config.receipts = receipts;
        let own = FaultOverrides {
            receipts: own,
            ..FaultOverrides::default()
        };
        settings.config.providers.insert("email".to_owned(), own);
        settings
    };
    let all = ReceiptShares {
        delivered_pct: 60,
        undelivered_pct: 40,
        delay: Duration::from_secs(1),
        duplicate_pct: 100,
    };
    let own = ReceiptOverrides {
        undelivered_pct: Some(0),
        delay: Some(Duration::ZERO),
        ..ReceiptOverrides::default()
    };
    let good = settings(all, own);
    assert_eq!(good.check(), Ok(()));
    let effective = |name: &str| good.config.effective_receipts(&name.parse().unwrap());
    assert_eq!(effective("sms-mms"), all);
    let email = ReceiptShares {
        undelivered_pct: 0,
        delay: Duration::ZERO,
        ..all
    };
    assert_eq!(effective("email"), email);

    let more = ReceiptOverrides {
        undelivered_pct: Some(41),
        delay: Some(ReceiptShares::DELAY_MAX + Duration::from_millis(1)),
        duplicate_pct: Some(101),
        ..ReceiptOverrides::default()
    };
    let error = settings(all, more).check().unwrap_err().to_string();
    for problem in [
        "email: receipts: delivered_pct and undelivered_pct add up to 101 here: lower them to 100 or less together",
        "email: receipts/delay_ms: use an integer from 0 to 86400000",
        "email: receipts/duplicate_pct: use an integer from 0 to 100",
    ] {
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn the_number_of_problems_is_bounded() {
    let names: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
    let providers: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), FaultOverrides::default()))
        .collect();
    assert_eq!(problems([0, 0, 0], &providers).len(), ConfigError::PROBLEMS_MAX);
}
