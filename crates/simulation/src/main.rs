fn main() {
    let seeds: u64 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(10);
    let from: u64 = std::env::args().nth(2).and_then(|a| a.parse().ok()).unwrap_or(0);
    let readable = std::env::args().nth(3).is_some();
    let mut bad = 0;
    for seed in from..from + seeds {
        let report = simulation::run(&simulation::Plan::of(seed), readable);
        if let Some(trace) = &report.trace { println!("{trace}"); }
        if !report.violations.is_empty() {
            bad += 1;
            println!("seed {seed}:");
            for v in &report.violations { println!("   {v}"); }
        }
        if readable { println!("{:?} requests {} calls {} hash {:x}", report.simulated, report.requests, report.calls, report.trace_hash); }
    }
    println!("{bad} bad of {seeds}");
}
