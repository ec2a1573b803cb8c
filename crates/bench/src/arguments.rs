use clap::{Arg, ArgAction, Command, builder::RangedU64ValueParser, value_parser};

/// The highest rate that may be asked for, in requests a second.
const RATE_MAX: f64 = 1_000_000.0;
/// A day.
const SECONDS_MAX: f64 = 86_400.0;

pub(crate) fn command() -> Command {
    let compare = Command::new("compare")
        .about("Rates and latencies against the baselines, in one table (the default command)");
    let reads = Command::new("reads").about("Pages at 1,000,000 conversations against 10,000");
    let listings = Command::new("listings")
        .about("Listings of 5,000,000 messages by each filter that matches many or few");
    let growth = Command::new("growth")
        .about("Rates on 5,000,000 stored messages, memory while providers are down, a backlog of 1,000,000");
    let start = Command::new("start").about("Time from start to ready, size of the program, idle memory");
    let measured = |command: Command| command.args(measuring());
    Command::new("bench")
        .about("Measures Trunkline side by side with baselines")
        .after_help(
            "Examples:\n  cargo run --release -p bench\n  cargo run --release -p bench -- --only a,c --seconds 5\n  \
             cargo run --release -p bench -- reads --database sqlite\n  \
             cargo run --release -p bench -- load --url http://127.0.0.1:8080 --rate 500 --seconds 30",
        )
        .args(measuring())
        .subcommands([compare, reads, listings, growth, start].map(measured))
        .subcommands([load(), baseline()])
}

fn measuring() -> [Arg; 10] {
    [
        Arg::new("only")
            .long("only")
            .value_name("NAMES")
            .help("Only these of a..g, comma-separated"),
        seconds("10"),
        Arg::new("database")
            .long("database")
            .value_parser(["postgres", "sqlite"])
            .help("Only on this one, for reads, growth and the streams of g"),
        Arg::new("baseline-pool")
            .long("baseline-pool")
            .value_name("CONNECTIONS")
            .value_parser(value_parser!(usize))
            .help("Connections of the baseline to the database [default: what is best for it]"),
        Arg::new("trunkline")
            .long("trunkline")
            .value_name("PROGRAM")
            .help("Measure this executable instead of building one"),
        Arg::new("before")
            .long("before")
            .value_name("PROGRAM")
            .help("Compare g with this executable [default: the measured one without an endpoint]"),
        Arg::new("stored")
            .long("stored")
            .value_name("MESSAGES")
            .default_value("5000000")
            .value_parser(value_parser!(u64).range(1_000..=100_000_000))
            .help("Size of the full store, for growth and listings"),
        Arg::new("backlog")
            .long("backlog")
            .value_name("MESSAGES")
            .default_value("1000000")
            .value_parser(value_parser!(u64).range(1_000..=100_000_000))
            .help("Size of the backlog, for growth"),
        json(),
        Arg::new("check")
            .long("check")
            .action(ArgAction::SetTrue)
            .help("Fail when a target is missed"),
    ]
}

fn load() -> Command {
    Command::new("load")
        .about("Send messages to a running server; fails unless every request is accepted")
        .args([
            Arg::new("url")
                .long("url")
                .required(true)
                .help("Where it listens, such as http://127.0.0.1:8080"),
            Arg::new("rate")
                .long("rate")
                .value_name("PER_SECOND")
                .value_parser(above_zero(RATE_MAX))
                .help(
                    "Requests due a second (open loop) [default: the next after each answer (closed loop)]",
                ),
            Arg::new("connections")
                .long("connections")
                .default_value("64")
                .value_parser(value_parser!(u64).range(1..=10_000))
                .help("Connections, and so requests at the same time"),
            seconds("10"),
            Arg::new("pairs")
                .long("pairs")
                .default_value("20000")
                .value_parser(RangedU64ValueParser::<u32>::new().range(1..=10_000_000))
                .help("Conversations the messages are spread over"),
            Arg::new("hot")
                .long("hot")
                .action(ArgAction::SetTrue)
                .help("All messages into one conversation"),
            Arg::new("keys")
                .long("keys")
                .action(ArgAction::SetTrue)
                .help("Give each request an idempotency key"),
            Arg::new("api-key")
                .long("api-key")
                .help("Send this as a bearer token"),
            json(),
        ])
}

/// Started by the benchmark itself.
fn baseline() -> Command {
    Command::new("baseline").hide(true).args([
        Arg::new("database-url").long("database-url").required(true),
        Arg::new("pool")
            .long("pool")
            .required(true)
            .value_parser(value_parser!(usize)),
    ])
}

fn seconds(default: &'static str) -> Arg {
    Arg::new("seconds")
        .long("seconds")
        .default_value(default)
        .value_parser(above_zero(SECONDS_MAX))
        .help("How long each load lasts")
}

/// Numbers above 0 and up to `most`.
fn above_zero(most: f64) -> impl Fn(&str) -> Result<f64, String> + Clone {
    move |text| {
        let number = text
            .parse()
            .ok()
            .filter(|number| *number > 0.0 && *number <= most);
        number.ok_or_else(|| format!("give a number above 0 and up to {most}"))
    }
}

fn json() -> Arg {
    Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        command().debug_assert();
    }

    #[test]
    fn rates_and_times_are_above_zero_and_bounded() {
        for option in ["--rate", "--seconds"] {
            let accepts = |value: &str| {
                let line = [
                    "bench",
                    "load",
                    "--url",
                    "http://127.0.0.1:1",
                    &format!("{option}={value}"),
                ];
                command().try_get_matches_from(line).is_ok()
            };
            assert!(accepts("0.5") && accepts("86400"), "{option}");
            for refused in ["0", "-1", "NaN", "inf", "1000001", "many"] {
                assert!(!accepts(refused), "{option} {refused}");
            }
        }
    }
}
