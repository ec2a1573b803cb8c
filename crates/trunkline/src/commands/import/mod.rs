//! Imports past messages from JSON lines. An import may be repeated: known messages are left out.

mod line;
mod lines;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal},
    sync::Arc,
};

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use domain::{Channel, Clock, DraftRules, Entropy, MessageId, ProviderName, SystemClock, Timestamp};
use engine::retry_transient;
use providers::simulator::SimulatorInstance;
use serde::Serialize;
use store::{Import, Store};
use tokio::runtime::Runtime;

use self::lines::{Lines, RawLine};
use crate::{
    commands::open_lasting,
    config::{Config, flags},
    terminal::{ProgressBar, grouped, print, print_json},
};

/// Messages in one transaction.
const BATCH_MESSAGES_MAX: usize = 500;
/// Bytes of lines in one transaction.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Bytes of one line: four times the default limit of a request body.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Invalid lines that are reported one by one; further ones are only counted.
const INVALID_SHOWN_MAX: u64 = 20;

pub(crate) fn command() -> Command {
    let file = Arg::new("file")
        .value_name("FILE")
        .default_value("-")
        .help("The file with the lines; - is standard input");
    let provider = Arg::new("provider")
        .long("provider")
        .value_name("NAME")
        .value_parser(clap::value_parser!(ProviderName))
        .help("The provider of lines that name none [default: the first configured one that serves the channel]");
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print the summary as JSON");
    Command::new("import")
        .about("Import past messages from JSON lines; they are stored, never sent")
        .arg(file)
        .arg(provider)
        .arg(json)
        .args(flags::showing(&["database_url", "default_region"]))
        .after_help(
            "A line is a JSON object:\n  \
             direction            inbound or outbound\n  \
             channel              sms, mms or email\n  \
             from, to, body       as in the API; also subject (email) and attachments (a list of URLs)\n  \
             timestamp            RFC 3339; otherwise the time of the import\n  \
             provider_message_id  identifies the message: importing it again changes nothing\n  \
             provider             the provider of that id [default: see --provider]\n\n\
             Invalid lines are reported and left out; the exit status is then 1. Imported messages have no conversation\n\
             until `trunkline backfill` gives them one. With SQLite, stop the service first.\n\n\
             Examples:\n  trunkline import past.jsonl\n  \
             zcat past.jsonl.gz | trunkline import --database-url postgres://localhost/trunkline\n  \
             trunkline import past.jsonl --json && trunkline backfill",
        )
}

pub(crate) fn run(config: &Config, arguments: &ArgMatches) -> anyhow::Result<()> {
    let path: &String = arguments.get_one("file").context("there is a default")?;
    let (input, size) = open(path)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let store = open_lasting(&config.database_url, Arc::clone(&clock))?;
    runtime.block_on(retry_transient(async || store.migrate().await))?;
    let mut importer = Importer {
        runtime,
        store,
        minter: Minter {
            clock,
            entropy: Entropy::from_system(),
            last: Timestamp::MIN,
        },
        rules: config.server.drafts,
        provider: arguments.get_one("provider").cloned(),
        providers: config.simulators.instances.clone(),
        batch: Vec::with_capacity(BATCH_MESSAGES_MAX),
        batch_bytes: 0,
        progress: ProgressBar::of("importing"),
        size,
        summary: ImportSummary::default(),
    };
    importer.import(Lines::of(input, LINE_BYTES_MAX))?;
    let Importer {
        summary,
        mut progress,
        ..
    } = importer;
    progress.clear();
    if arguments.get_flag("json") {
        print_json(&summary)?;
    } else {
        print(&summary.text())?;
    }
    match summary.invalid {
        0 => Ok(()),
        1 => bail!("1 line is not valid: correct it and import it again; known messages are left out"),
        many => bail!(
            "{} lines are not valid: correct them and import them again; known messages are left out",
            grouped(many)
        ),
    }
}

/// The input, and its size in bytes if it is a file.
fn open(path: &str) -> anyhow::Result<(Box<dyn BufRead>, Option<u64>)> {
    if path == "-" {
        if io::stdin().is_terminal() {
            eprintln!("reading lines from the terminal: end them with Ctrl-D");
        }
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let file = File::open(path).with_context(|| format!("cannot read {path}"))?;
    let about = file.metadata().with_context(|| format!("cannot read {path}"))?;
    let size = about.is_file().then_some(about.len());
    Ok((Box::new(BufReader::new(file)), size))
}

#[derive(Debug, Default, Serialize)]
struct ImportSummary {
    /// Lines that are not blank.
    read: u64,
    imported: u64,
    /// Known messages. A batch that was stored although its connection broke is counted here.
    repeated: u64,
    invalid: u64,
}

impl ImportSummary {
    fn text(&self) -> String {
        let [read, imported, repeated, invalid] =
            [self.read, self.imported, self.repeated, self.invalid].map(grouped);
        let next = match self.imported {
            0 => "",
            _ => "Run `trunkline backfill` to give them their conversations.\n",
        };
        format!(
            "{read} lines read: {imported} imported, {repeated} already there, {invalid} not valid.\n{next}"
        )
    }
}

/// Mints ids in the order of the file.
struct Minter {
    clock: Arc<dyn Clock>,
    entropy: Entropy,
    last: Timestamp,
}

impl Minter {
    /// A time of processing and an id. No two messages share a microsecond: the backfill needs the ids in order.
    fn mint(&mut self) -> (Timestamp, MessageId) {
        let next = self.last.saturating_add(std::time::Duration::from_micros(1));
        self.last = self.clock.now().max(next);
        (self.last, MessageId::mint(self.last, &self.entropy))
    }
}

struct Importer {
    runtime: Runtime,
    store: Arc<dyn Store>,
    minter: Minter,
    rules: DraftRules,
    /// Of lines that name none.
    provider: Option<ProviderName>,
    providers: Vec<SimulatorInstance>,
    batch: Vec<Import>,
    batch_bytes: usize,
    progress: ProgressBar,
    size: Option<u64>,
    summary: ImportSummary,
}

impl Importer {
    fn import(&mut self, mut lines: Lines<impl BufRead>) -> anyhow::Result<()> {
        loop {
            let number = lines.number() + 1;
            let line = lines.next();
            let line = line.with_context(|| self.stopped("cannot read the input", number))?;
            let import = match line {
                None => break,
                Some(RawLine::Blank) => continue,
                Some(RawLine::TooLong) => Err(vec![format!("is longer than {LINE_BYTES_MAX} bytes")]),
                Some(RawLine::Text(text)) => {
                    let (processed_at, id) = self.minter.mint();
                    let default = |channel| self.default_provider(channel);
                    line::read(text, &self.rules, default, id, processed_at)
                }
            };
            self.summary.read += 1;
            match import {
                Ok(import) => {
                    self.batch_bytes += import.payload.len();
                    self.batch.push(import);
                }
                Err(problems) => self.refuse(number, &problems),
            }
            if self.batch.len() == BATCH_MESSAGES_MAX || self.batch_bytes >= BATCH_BYTES_MAX {
                self.store(number)?;
                self.progress.show(lines.bytes(), self.size, self.summary.read);
            }
        }
        self.store(lines.number())
    }

    fn default_provider(&self, channel: Channel) -> Option<ProviderName> {
        let serves = |instance: &&SimulatorInstance| instance.channels.contains(&channel);
        let configured = || Some(self.providers.iter().find(serves)?.name.clone());
        self.provider.clone().or_else(configured)
    }

    fn refuse(&mut self, number: u64, problems: &[String]) {
        self.summary.invalid += 1;
        if self.summary.invalid <= INVALID_SHOWN_MAX {
            self.progress.clear();
            eprintln!("line {number}: {}", problems.join("; "));
        } else if self.summary.invalid == INVALID_SHOWN_MAX + 1 {
            self.progress.clear();
            eprintln!("further invalid lines are only counted");
        }
    }

    /// Stores the batch, which ends with this line.
    fn store(&mut self, number: u64) -> anyhow::Result<()> {
        let Self {
            store,
            batch,
            runtime,
            ..
        } = self;
        if batch.is_empty() {
            return Ok(());
        }
        let stored = runtime.block_on(retry_transient(async || store.import(batch).await));
        let imported = stored.with_context(|| self.stopped("cannot store a batch", number))?;
        self.summary.imported += imported;
        self.summary.repeated += self.batch.len() as u64 - imported;
        self.batch.clear();
        self.batch_bytes = 0;
        Ok(())
    }

    fn stopped(&self, what: &str, number: u64) -> String {
        format!(
            "{what} at line {}; {} messages are imported: run the import again for the rest",
            grouped(number),
            grouped(self.summary.imported)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::Duration};

    use super::*;

    #[derive(Debug)]
    struct SetClock(Mutex<Timestamp>);

    impl Clock for SetClock {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn ids_are_in_the_order_of_the_file_even_if_the_clock_stops_or_goes_back() {
        let clock = Arc::new(SetClock(Mutex::new(Timestamp::MIN)));
        let mut minter = Minter {
            clock: clock.clone(),
            entropy: Entropy::from_seed(1),
            last: Timestamp::MIN,
        };
        let mut minted = Vec::new();
        for hour in [10, 9, 11] {
            let time = Timestamp::parse(&format!("2026-11-21T{hour:02}:00:00Z")).unwrap();
            *clock.0.lock().unwrap() = time;
            minted.extend((0..1_000).map(|_| minter.mint()));
        }
        assert!(minted.is_sorted_by(|one, next| one.0 < next.0 && one.1 < next.1));
        let noon = Timestamp::parse("2026-11-21T12:00:00Z").unwrap();
        *clock.0.lock().unwrap() = noon;
        assert_eq!(minter.mint().0, noon);
    }
}
