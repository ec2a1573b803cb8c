//! Past messages from a file of JSON lines, into the store. What it does may be done twice.

mod line;
mod lines;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal},
    sync::Arc,
};

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use domain::{Clock, DraftRules, Entropy, MessageId, ProviderName, SystemClock, Timestamp};
use engine::retry_transient;
use providers::{Routes, simulator::Simulators};
use serde::Serialize;
use store::{Import, Store};
use tokio::runtime::Runtime;

use self::lines::{ImportLine, Lines};
use crate::{
    config::{Config, flags},
    terminal::{Progress, grouped, print, print_json},
};

/// Messages that are stored in one transaction.
const BATCH_MESSAGES_MAX: usize = 500;
/// Bytes of lines that are held at one time, so that long ones do not add up.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Bytes of one line. The body of a message over HTTP may have a quarter of that.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Bad lines that are told one by one; beyond, they are only counted.
const INVALID_SHOWN_MAX: u64 = 20;

pub(crate) fn command() -> Command {
    let file = Arg::new("file")
        .value_name("FILE")
        .default_value("-")
        .help("Where the lines are; - is the standard input");
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
        .args(flags::showing(&["database_url", "default_region", "max_attachments"]))
        .after_help(
            "A line is a JSON object:\n  \
             direction            inbound or outbound\n  \
             channel              sms, mms or email\n  \
             from, to, body       as in the API; also subject (email) and attachments (a list of URLs)\n  \
             timestamp            RFC 3339; without it, the time of the import\n  \
             provider_message_id  by which a message is recognized: importing it again changes nothing\n  \
             provider             whose id that is [default: see --provider]\n\n\
             Bad lines are told and left out, and the exit status is not 0 then. Imported messages have no conversation\n\
             until `trunkline backfill` gives them one. On SQLite the service must not be running.\n\n\
             Examples:\n  trunkline import past.jsonl\n  \
             zcat past.jsonl.gz | trunkline import --database-url postgres://localhost/trunkline\n  \
             trunkline import past.jsonl --json && trunkline backfill",
        )
}

/// Imports all good lines, tells the bad ones, and fails when there was one.
pub(crate) fn run(config: &Config, arguments: &ArgMatches) -> anyhow::Result<()> {
    let path: &String = arguments.get_one("file").context("there is a default")?;
    let (input, size) = open(path)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let store = store::open(&config.database_url, Arc::clone(&clock))?;
    runtime.block_on(retry_transient(async || store.migrate().await))?;
    let simulators = Simulators::new(
        config.simulators.clone(),
        &Entropy::from_system(),
        Arc::clone(&clock),
    )?;
    let routes = Routes::new(simulators.providers())?;
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
        routes,
        batch: Vec::with_capacity(BATCH_MESSAGES_MAX),
        batch_bytes: 0,
        progress: Progress::of("importing"),
        size,
        summary: Summary::default(),
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
        print(&summary.told())?;
    }
    match summary.invalid {
        0 => Ok(()),
        1 => bail!("a line is not valid: correct it and import it again; what is there already is left out"),
        many => bail!(
            "{} lines are not valid: correct them and import them again; what is there already is left out",
            grouped(many)
        ),
    }
}

/// The input, and how many bytes it has, if that can be told.
fn open(path: &str) -> anyhow::Result<(Box<dyn BufRead>, Option<u64>)> {
    if path == "-" {
        if io::stdin().is_terminal() {
            eprintln!("reading lines from this terminal; Ctrl-D ends them");
        }
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let file = File::open(path).with_context(|| format!("cannot read {path}"))?;
    let about = file.metadata().with_context(|| format!("cannot read {path}"))?;
    let size = about.is_file().then_some(about.len());
    Ok((Box::new(BufReader::new(file)), size))
}

/// What an import came to.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Lines with something on them.
    read: u64,
    /// Messages that are new.
    imported: u64,
    /// Messages that were there already. When a connection is lost, what was stored without our hearing so is told here.
    repeated: u64,
    /// Lines that are no message.
    invalid: u64,
}

impl Summary {
    fn told(&self) -> String {
        let [read, imported, repeated, invalid] =
            [self.read, self.imported, self.repeated, self.invalid].map(grouped);
        let next = match self.imported {
            0 => "",
            _ => "`trunkline backfill` gives them their conversations.\n",
        };
        format!(
            "{read} lines read: {imported} imported, {repeated} there already, {invalid} not valid.\n{next}"
        )
    }
}

/// Gives messages their ids, in the order of the file.
struct Minter {
    clock: Arc<dyn Clock>,
    entropy: Entropy,
    last: Timestamp,
}

impl Minter {
    /// A time of processing and the id that belongs to it. No two messages share a microsecond: their ids would be in no
    /// order, and the backfill goes by their order.
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
    provider: Option<ProviderName>,
    routes: Routes,
    batch: Vec<Import>,
    batch_bytes: usize,
    progress: Progress,
    size: Option<u64>,
    summary: Summary,
}

impl Importer {
    fn import(&mut self, mut lines: Lines<impl BufRead>) -> anyhow::Result<()> {
        loop {
            let number = lines.number() + 1;
            let line = lines.next();
            let line = line.with_context(|| self.stopped("cannot read on", number))?;
            let import = match line {
                None => break,
                Some(ImportLine::Blank) => continue,
                Some(ImportLine::TooLong) => Err(vec![format!("is longer than {LINE_BYTES_MAX} bytes")]),
                Some(ImportLine::Text(text)) => {
                    let (processed_at, id) = self.minter.mint();
                    let configured = |channel| Some(self.routes.serving(channel)?.name().clone());
                    let serving = |channel| self.provider.clone().or_else(|| configured(channel));
                    line::read(text, &self.rules, serving, id, processed_at)
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

    fn refuse(&mut self, number: u64, problems: &[String]) {
        self.summary.invalid += 1;
        if self.summary.invalid <= INVALID_SHOWN_MAX {
            self.progress.clear();
            eprintln!("line {number}: {}", problems.join("; "));
        } else if self.summary.invalid == INVALID_SHOWN_MAX + 1 {
            self.progress.clear();
            eprintln!("further lines that are not valid are only counted");
        }
    }

    /// Stores what has been gathered up to this line.
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
        let imported = stored.with_context(|| self.stopped("stopped", number))?;
        self.summary.imported += imported;
        self.summary.repeated += self.batch.len() as u64 - imported;
        self.batch.clear();
        self.batch_bytes = 0;
        Ok(())
    }

    fn stopped(&self, how: &str, number: u64) -> String {
        format!(
            "{how} at line {}, with {} messages imported: they stay, and importing the same again does the rest",
            grouped(number),
            grouped(self.summary.imported)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::Duration};

    use super::*;

    /// A clock that says what a test wants it to.
    #[derive(Debug)]
    struct Hands(Mutex<Timestamp>);

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn ids_follow_the_file_also_while_the_clock_stands_still_or_is_set_back() {
        let hands = Arc::new(Hands(Mutex::new(Timestamp::MIN)));
        let mut minter = Minter {
            clock: hands.clone(),
            entropy: Entropy::from_seed(1),
            last: Timestamp::MIN,
        };
        let mut minted = Vec::new();
        for hour in [10, 9, 11] {
            let time = Timestamp::parse(&format!("2026-11-21T{hour:02}:00:00Z")).unwrap();
            *hands.0.lock().unwrap() = time;
            minted.extend((0..1_000).map(|_| minter.mint()));
        }
        assert!(minted.is_sorted_by(|one, next| one.0 < next.0 && one.1 < next.1));
        let noon = Timestamp::parse("2026-11-21T12:00:00Z").unwrap();
        *hands.0.lock().unwrap() = noon;
        assert_eq!(minter.mint().0, noon);
    }
}
