//! A demo: generated contacts and a shop text and email each other through a running service, while providers fail for a time.
//! Receipts and replies are shown as the stream of events brings them.

mod counts;
mod people;
mod play;
mod script;
mod stream;
mod weather;

use std::{
    env,
    io::{self, IsTerminal},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use domain::{Channel, Clock, Entropy, SystemClock};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use self::{
    counts::{DemoCounts, ProviderTally, configured, providers},
    people::CONTACTS_MAX,
    play::{Event, Gate, play},
    script::{Script, Terms},
    stream::follow,
    weather::Weather,
};
use crate::{
    client::{self, Api, Followed},
    signals::Signals,
    terminal::{Paint, print, print_json},
};

/// Requests under way for each side. No more wait when the service rate limits.
const OFFERED_MAX: usize = 8;
/// Pause between two reads of the service's state, after each of which the summary is drawn.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a read may take, so that the demo ends even if the service hangs.
const LOOK_MAX: Duration = Duration::from_secs(3);
/// Seconds between summary lines where the summary cannot be drawn.
const LINE_EVERY_SECS: u64 = 5;
/// Time for the requests under way at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

pub(crate) fn command() -> Command {
    let number = |name: &'static str,
                  value: &'static str,
                  default: &'static str,
                  range: std::ops::RangeInclusive<u64>| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .default_value(default)
            .value_parser(value_parser!(u64).range(range))
    };
    let seed = Arg::new("seed")
        .long("seed")
        .value_name("SEED")
        .value_parser(value_parser!(u64))
        .help("Repeats the contacts and texts of an earlier demo [default: a new seed, which is printed]");
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print only the final summary, as JSON");
    Command::new("demo")
        .about("Show two-way traffic through a running service, with providers that fail for a time")
        .arg(number("contacts", "COUNT", "20", 1..=CONTACTS_MAX as u64).help("Number of contacts"))
        .arg(number("seconds", "SECONDS", "60", 1..=86_400).help("Length of the demo"))
        .arg(number("rate", "COUNT", "3", 1..=1_000).help("Messages a second, in both directions together"))
        .arg(seed)
        .arg(json)
        .args(client::flags())
        .after_help(
            "Between one quarter and three fifths of the time, simulated providers fail on purpose. The demo restores their\n\
             configuration afterwards, also after Ctrl-C. All numbers and addresses are reserved for fiction.\n\n\
             Examples:\n  trunkline demo\n  trunkline demo --seconds 300 --contacts 200\n  \
             trunkline demo --seed 7 --json --url http://127.0.0.1:9000",
        )
}

pub(crate) fn run(arguments: &ArgMatches) -> anyhow::Result<()> {
    let api = Arc::new(Api::named(arguments)?);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let mut signals = Signals::new()?;
            let mut demo = Demo::prepare(api, arguments).await?;
            demo.run(&mut signals).await?;
            // A second signal exits at once and leaves the failures as they are.
            tokio::spawn(async move {
                signals.next().await;
                std::process::exit(1);
            });
            demo.end().await
        })
}

struct Demo {
    api: Arc<Api>,
    clock: Arc<dyn Clock>,
    script: Script,
    /// Makes message ids differ from those of other demos with the same seed.
    run: Arc<str>,
    rate: u64,
    time: Duration,
    weather: Weather,
    before: Vec<ProviderTally>,
    counts: DemoCounts,
    screen: Screen,
}

impl Demo {
    /// Reads the service's state before the demo changes it.
    async fn prepare(api: Arc<Api>, arguments: &ArgMatches) -> anyhow::Result<Self> {
        let number = |name| {
            arguments
                .get_one::<u64>(name)
                .copied()
                .context("clap sets the default")
        };
        let entropy = Entropy::from_system();
        // Short enough to type.
        let made_up = entropy.next_u64() % 1_000_000;
        let seed = arguments.get_one("seed").copied().unwrap_or(made_up);
        let reports = api.get("/api/providers", &[]).await?.done()?;
        let weather = Weather::found(&api, seed).await?;
        let served = configured(&reports)
            .filter_map(|report| report["channels"].as_array())
            .flatten()
            .filter_map(|channel| channel.as_str()?.parse().ok())
            .collect::<Vec<Channel>>();
        if served.is_empty() {
            bail!(
                "{} has no provider: start it with API_PROVIDER_SMS_ENABLED=true and API_PROVIDER_EMAIL_ENABLED=true",
                api.url()
            );
        }
        let terms = Terms {
            served,
            injects: weather.can_change(),
        };
        let screen = Screen::of(arguments.get_flag("json"));
        screen.begin(api.url(), seed, &terms)?;
        let contacts = usize::try_from(number("contacts")?)?;
        Ok(Self {
            script: Script::new(seed, contacts, terms),
            clock: Arc::new(SystemClock::new()),
            run: format!("{:08x}", entropy.next_u64() >> 32).into(),
            rate: number("rate")?,
            time: Duration::from_secs(number("seconds")?),
            weather,
            before: providers(&reports).collect(),
            counts: DemoCounts {
                seed,
                ..DemoCounts::default()
            },
            screen,
            api,
        })
    }

    /// Sends until the time is over or a signal arrives.
    async fn run(&mut self, signals: &mut Signals) -> anyhow::Result<()> {
        let gate = || Arc::new(Gate::new(Arc::clone(&self.clock)));
        let (our_gate, their_gate) = (gate(), gate());
        let [our_room, their_room] = [(); 2].map(|()| Arc::new(Semaphore::new(OFFERED_MAX)));
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut offered = JoinSet::new();
        // Ends when it is dropped.
        let mut following = JoinSet::new();
        let (see, mut seen) = mpsc::unbounded_channel();
        // A service that does not answer in time is asked by the demo's other requests, which count that.
        if let Ok(Ok(Followed::Stream(stream))) =
            tokio::time::timeout(LOOK_MAX, self.api.follow(None, &[])).await
        {
            following.spawn(follow(Arc::clone(&self.api), stream, see));
        }
        let mut next_message = interval(Duration::from_secs(1) / u32::try_from(self.rate)?);
        next_message.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut next_look = interval(LOOK_EVERY);
        next_look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let over = tokio::time::sleep(self.time);
        tokio::pin!(over);
        loop {
            tokio::select! {
                biased;
                _ = signals.next() => break,
                () = &mut over => break,
                Some(event) = told.recv() => self.note(event),
                Some(event) = seen.recv() => self.counts.events.add(event),
                _ = next_look.tick() => {
                    self.turn_weather().await;
                    self.look().await;
                    self.screen.show(&self.counts, self.weather.is_stormy())?;
                }
                _ = next_message.tick() => {
                    let step = self.script.next();
                    let (room, gate) = if step.ours { (&our_room, &our_gate) } else { (&their_room, &their_gate) };
                    let Ok(place) = Arc::clone(room).try_acquire_owned() else {
                        self.counts.held_back += 1;
                        continue;
                    };
                    let (api, gate, run, tell) =
                        (Arc::clone(&self.api), Arc::clone(gate), Arc::clone(&self.run), tell.clone());
                    offered.spawn(async move {
                        let ended = play(&api, &gate, &run, step, tell).await;
                        drop(place);
                        ended
                    });
                }
                Some(_) = offered.join_next(), if !offered.is_empty() => {}
            }
        }
        our_gate.close();
        their_gate.close();
        let mut last_answers = async || {
            while let Some(ended) = offered.join_next().await {
                self.counts.held_back += u64::from(!ended.unwrap_or(false));
            }
        };
        // Requests that are cut off here may have been accepted.
        if tokio::time::timeout(LAST_ANSWERS, last_answers()).await.is_err() {
            self.counts.unanswered += offered.len() as u64;
        }
        while let Ok(event) = told.try_recv() {
            self.note(event);
        }
        Ok(())
    }

    /// Restores the providers and prints the summary.
    async fn end(mut self) -> anyhow::Result<()> {
        let restored = self.weather.restore(&self.api).await;
        self.look().await;
        self.screen.end(&self.counts)?;
        restored?;
        if self.counts.sent + self.counts.received == 0 {
            bail!("no message was accepted");
        }
        Ok(())
    }

    fn note(&mut self, event: Event) {
        let counts = &mut self.counts;
        match event {
            Event::RateLimited => counts.rate_limited += 1,
            Event::Unanswered => counts.unanswered += 1,
            Event::Ended {
                refused: Some(code), ..
            } => *counts.refused.entry(code).or_default() += 1,
            Event::Ended { ours: true, .. } => counts.sent += 1,
            Event::Ended { ours: false, .. } => counts.received += 1,
        }
    }

    async fn turn_weather(&mut self) {
        let elapsed = self.clock.monotonic();
        let stormy = elapsed >= self.time / 4 && elapsed < self.time * 3 / 5;
        // A failure is tried again at the next look.
        let _ = tokio::time::timeout(LOOK_MAX, self.weather.turn(&self.api, stormy)).await;
    }

    async fn look(&mut self) {
        self.counts.seconds = self.clock.monotonic().min(self.time).as_secs();
        // Without an answer the counts keep their values.
        let _ = tokio::time::timeout(LOOK_MAX, self.counts.look(&self.api, &self.before)).await;
    }
}

/// Prints the summary: redrawn on a terminal, line by line elsewhere, or once at the end as JSON.
struct Screen {
    kind: ScreenKind,
    paint: Paint,
    lines_drawn: usize,
    /// The second when the next line is due.
    next_line_at: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ScreenKind {
    Drawn,
    Lines,
    Json,
}

impl Screen {
    fn of(json: bool) -> Self {
        let dumb = env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
        let kind = match (json, io::stdout().is_terminal() && !dumb) {
            (true, _) => ScreenKind::Json,
            (false, true) => ScreenKind::Drawn,
            (false, false) => ScreenKind::Lines,
        };
        Self {
            kind,
            paint: Paint::on_stdout(),
            lines_drawn: 0,
            next_line_at: 0,
        }
    }

    fn begin(&self, url: &str, seed: u64, terms: &Terms) -> anyhow::Result<()> {
        if !terms.injects {
            eprintln!(
                "{url} has no simulated providers: replies are sent to the webhooks, and no provider fails on purpose. For the \
                 whole demo, start the service with API_PROVIDER_SMS_ENABLED=true and API_PROVIDER_EMAIL_ENABLED=true."
            );
        } else if self.kind != ScreenKind::Json {
            print(&format!(
                "The demo sends messages through {url}. Ctrl-C ends it. Seed {seed}.\n"
            ))?;
        }
        Ok(())
    }

    fn show(&mut self, counts: &DemoCounts, stormy: bool) -> anyhow::Result<()> {
        match self.kind {
            ScreenKind::Json => Ok(()),
            ScreenKind::Lines if counts.seconds < self.next_line_at => Ok(()),
            ScreenKind::Lines => {
                self.next_line_at = counts.seconds + LINE_EVERY_SECS;
                print(&counts.line())
            }
            ScreenKind::Drawn => {
                let weather = match stormy {
                    true => self.paint.bad("providers fail on purpose"),
                    false => self.paint.good("providers as they were"),
                };
                let (shown, latest) = (counts.shown(self.paint), counts.events.latest());
                let drawn = format!("{} s   {weather}\n{shown}latest events\n{latest}", counts.seconds);
                self.draw(&drawn)
            }
        }
    }

    /// Replaces the last drawing.
    fn draw(&mut self, text: &str) -> anyhow::Result<()> {
        let back = match self.lines_drawn {
            0 => String::new(),
            lines => format!("\u{1b}[{lines}A\u{1b}[J"),
        };
        self.lines_drawn = text.lines().count();
        print(&format!("{back}{text}"))
    }

    fn end(&mut self, counts: &DemoCounts) -> anyhow::Result<()> {
        if self.kind == ScreenKind::Json {
            return print_json(counts);
        }
        let next = format!(
            "{} s, seed {}. Waiting messages are still sent. See `trunkline conversations`.\n",
            counts.seconds, counts.seed
        );
        let text = counts.shown(self.paint) + &next;
        if self.kind == ScreenKind::Drawn {
            self.draw(&text)
        } else {
            print(&text)
        }
    }
}
