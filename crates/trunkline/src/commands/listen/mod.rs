//! Forwards the events of a running service to a URL, as a webhook endpoint gets them, without registering one.

mod forward;

use std::time::Duration;

use anyhow::Context;
use clap::{Arg, ArgMatches, Command, builder::PossibleValuesParser};
use domain::EventType;
use serde_json::Value;

use self::forward::{Forwarded, Forwarder};
use crate::{
    client::{self, Api, EventStream, Followed},
    signals::Signals,
    terminal::{Paint, harmless, print},
};

/// Pause before the stream is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

pub(crate) fn command() -> Command {
    let types = Arg::new("types")
        .long("types")
        .value_name("TYPES")
        .value_delimiter(',')
        .value_parser(PossibleValuesParser::new(
            EventType::ALL.iter().map(|kind| kind.as_str()),
        ))
        .help("Forward only these types of events, comma-separated");
    let forward_to = Arg::new("forward-to")
        .long("forward-to")
        .value_name("URL")
        .required(true)
        .help("Where each event is sent with POST");
    let secret = Arg::new("secret")
        .long("secret")
        .value_name("SECRET")
        .help("Sign with this secret, whsec_… [default: a new one, which is printed]");
    let after = Arg::new("after")
        .long("after")
        .value_name("EVENT")
        .help("Begin after this event [default: with the next one]");
    Command::new("listen")
        .about("Forward the events of a running service to a URL, signed like webhooks")
        .args([forward_to, types, secret, after])
        .args(client::flags())
        .after_help(
            "Events are forwarded one after another, in the order of the log. One that fails three times is left out.\n\
             The service does not know of it: no webhook endpoint is registered.\n\n\
             Examples:\n  trunkline listen --forward-to http://localhost:3000/hook\n  \
             trunkline listen --forward-to http://localhost:3000/hook --types message.received,message.failed\n  \
             trunkline listen --forward-to http://localhost:3000/hook --after 0000000000000042",
        )
}

pub(crate) fn run(arguments: &ArgMatches) -> anyhow::Result<()> {
    let mut listener = Listener::of(arguments)?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(listener.until_stopped())
}

struct Listener {
    api: Api,
    forwarder: Forwarder,
    /// Empty: all.
    types: Vec<String>,
    /// All events up to this one are done with.
    cursor: Option<String>,
    paint: Paint,
}

impl Listener {
    fn of(arguments: &ArgMatches) -> anyhow::Result<Self> {
        let given = |name: &str| arguments.get_one::<String>(name).cloned();
        let target = given("forward-to").context("clap requires it")?;
        let types = arguments.get_many::<String>("types");
        Ok(Self {
            api: Api::named(arguments)?,
            forwarder: Forwarder::new(&target, given("secret").as_deref())?,
            types: types.unwrap_or_default().cloned().collect(),
            cursor: given("after"),
            paint: Paint::on_stdout(),
        })
    }

    async fn until_stopped(&mut self) -> anyhow::Result<()> {
        let mut signals = Signals::new()?;
        print(&format!(
            "Forwarding the events of {} to {}. Ctrl-C stops it.\nSigned with {}\n",
            harmless(self.api.url()),
            harmless(self.forwarder.target()),
            self.forwarder.secret()
        ))?;
        tokio::select! {
            biased;
            _ = signals.next() => {}
            ended = self.listen() => return ended,
        }
        match &self.cursor {
            Some(cursor) => print(&format!("To continue here: --after {}\n", harmless(cursor))),
            None => Ok(()),
        }
    }

    /// Never ends without an error.
    async fn listen(&mut self) -> anyhow::Result<()> {
        let mut connected = false;
        loop {
            let lost = match self.api.follow(self.cursor.as_deref(), &self.types).await {
                Ok(Followed::Stream(mut stream)) => {
                    connected = true;
                    self.forward_all(&mut stream).await?
                }
                Ok(Followed::Refused(refusal)) if connected && refusal.status.is_server_error() => {
                    refusal.to_string()
                }
                Ok(Followed::Refused(refusal)) => return Err(refusal.into()),
                Err(error) if !connected => return Err(error.into()),
                Err(error) => error.to_string(),
            };
            eprintln!("trunkline: {lost}. Trying again.");
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }

    /// Forwards until the stream or the service is lost. Returns the reason.
    async fn forward_all(&mut self, stream: &mut EventStream) -> anyhow::Result<String> {
        loop {
            let next = stream.next().await;
            if let Ok(event) = &next {
                match self.forward(event).await {
                    Ok(()) => {}
                    Err(Failed::Service(lost)) => return Ok(lost),
                    Err(Failed::Here(error)) => return Err(error),
                }
            }
            self.cursor = stream.place().or(self.cursor.take());
            if let Err(lost) = next {
                return Ok(lost.to_string());
            }
        }
    }

    async fn forward(&self, event: &Value) -> Result<(), Failed> {
        let body = forward::body(&self.api, event).await.map_err(Failed::Service)?;
        let id = event["id"].as_str().unwrap_or_default();
        let forwarded = self.forwarder.forward(id, &body).await;
        let result = match &forwarded {
            Forwarded::Taken { .. } => self.paint.good(&forwarded.to_string()),
            Forwarded::LeftOut { .. } => self.paint.bad(&forwarded.to_string()),
        };
        let text = |value: &Value| harmless(value.as_str().unwrap_or_default());
        let line = format!("{}  {:<25} {result}\n", text(&event["id"]), text(&event["type"]));
        print(&line).map_err(Failed::Here)
    }
}

enum Failed {
    /// The service does not answer: the stream is opened again.
    Service(String),
    Here(anyhow::Error),
}
