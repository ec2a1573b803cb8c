//! The simulation on the command line.

use std::process::ExitCode;

use simulation::{Plan, campaign, explain, run};

const USAGE: &str = "\
Runs the whole system under seeds, and says which of them break a rule.

  simulation run --seeds N [--from SEED] [--threads N]   N schedules
  simulation replay SEED [--trace]                       one, with all that happened
  simulation shrink SEED                                 the smallest schedule that still fails like it
  simulation mutants [NAME...]                           planted bugs, each to be caught (bin/planted-bugs)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("run") => run_many(&arguments),
        Some("replay") => replay(&arguments),
        Some("shrink") => shrink(&arguments),
        Some("mutants") => Some(hunt_all(&arguments[1..])),
        _ => None,
    };
    match done {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// The number after an option; `None` when it is there without one.
fn option(arguments: &[String], name: &str, default: u64) -> Option<u64> {
    match arguments.iter().position(|argument| argument == name) {
        Some(place) => arguments.get(place + 1)?.parse().ok(),
        None => Some(default),
    }
}

fn run_many(arguments: &[String]) -> Option<bool> {
    let (seeds, from) = (
        option(arguments, "--seeds", 1_000)?,
        option(arguments, "--from", 0)?,
    );
    let threads = usize::try_from(option(arguments, "--threads", 1)?).ok()?;
    let outcome = campaign(from, seeds, threads, |_, _| {});
    for (seed, violations) in &outcome.failures {
        println!("{}", explain(*seed, violations));
    }
    println!(
        "{} schedules, {} requests, {} calls, {:.1} simulated hours: {} failed",
        outcome.runs,
        outcome.requests,
        outcome.calls,
        outcome.simulated.as_secs_f64() / 3_600.0,
        outcome.failures.len()
    );
    Some(outcome.failures.is_empty())
}

fn replay(arguments: &[String]) -> Option<bool> {
    let seed: u64 = arguments.get(1)?.parse().ok()?;
    let report = run(
        &Plan::of(seed),
        arguments.iter().any(|argument| argument == "--trace"),
    );
    if let Some(trace) = &report.trace {
        print!("{trace}");
    }
    println!(
        "seed {seed}: {} requests, {} calls, {:.1} simulated seconds, trace {:016x}",
        report.requests,
        report.calls,
        report.simulated.as_secs_f64(),
        report.trace_hash
    );
    if !report.violations.is_empty() {
        println!("{}", explain(seed, &report.violations));
    }
    Some(report.violations.is_empty())
}

fn shrink(arguments: &[String]) -> Option<bool> {
    let seed: u64 = arguments.get(1)?.parse().ok()?;
    let Some(plan) = simulation::shrink(&Plan::of(seed)) else {
        println!("seed {seed} breaks no rule");
        return Some(true);
    };
    let report = run(&plan, true);
    print!("{}", report.trace.unwrap_or_default());
    println!("{:#?}\n{:#?}", plan.faults, plan.operations);
    for violation in &report.violations {
        println!("{violation}");
    }
    Some(false)
}

fn hunt_all(names: &[String]) -> bool {
    let mut all_caught = true;
    for mutant in mutants::Mutant::ALL {
        if !names.is_empty() && !names.iter().any(|name| name == mutant.name()) {
            continue;
        }
        match simulation::hunt(*mutant) {
            Some((seed, violation)) => println!("{:<24} seed {seed:>3}  {violation}", mutant.name()),
            None => {
                println!("{:<24} NOT CAUGHT", mutant.name());
                all_caught = false;
            }
        }
    }
    all_caught
}
