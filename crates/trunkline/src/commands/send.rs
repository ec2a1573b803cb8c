use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use domain::{Channel, Clock, SystemClock};
use hyper::header::HeaderValue;
use serde_json::{Map, Value, json};

use crate::{
    client::{self, Api, Unanswered},
    terminal::{Paint, harmless, print, print_json},
};

/// How often the service is asked what became of a message.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long it is asked when no time is given.
const WAIT_SECS: &str = "60";

pub(crate) fn command() -> Command {
    let text = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    let channel = text("channel", "CHANNEL")
        .value_parser(["sms", "mms", "email"])
        .help("How it travels [default: email if --to is one, mms if something is attached, else sms]");
    let wait = Arg::new("wait")
        .long("wait")
        .value_name("SECONDS")
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value(WAIT_SECS)
        .value_parser(value_parser!(u64).range(1..=86_400))
        .help(format!(
            "Wait until its status is final, {WAIT_SECS} seconds or as many as given"
        ));
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print what the service answered as JSON");
    Command::new("send")
        .about("Send a message through a running service, and print what became of it")
        .arg(text("from", "ADDRESS").required(true).help("From whom"))
        .arg(text("to", "ADDRESS").required(true).help("To whom"))
        .arg(text("body", "TEXT").required(true).allow_hyphen_values(true).help("What it says"))
        .arg(channel)
        .arg(text("subject", "TEXT").allow_hyphen_values(true).help("Subject of an email"))
        .arg(
            text("attachment", "URL")
                .action(ArgAction::Append)
                .help("URL of something attached; may be repeated"),
        )
        .arg(
            text("idempotency-key", "KEY")
                .help("The same key and message again: the same answer, and nothing is sent twice"),
        )
        .arg(wait)
        .arg(json)
        .args(client::flags())
        .after_help(
            "The exit status is 0 when the message was accepted; with --wait, when it was dispatched.\n\n\
             Examples:\n  trunkline send --from +12016661234 --to +18045551234 --body 'Hello!'\n  \
             trunkline send --from desk@example.com --to guest@example.org --subject Hi --body 'Hello!' --wait\n  \
             trunkline send --from +12016661234 --to +18045551234 --body '' --attachment https://example.com/a.png\n  \
             trunkline send --from Shop --to +18045551234 --body 'Sale!' --idempotency-key sale-17 --json",
        )
}

pub(crate) fn run(arguments: &ArgMatches) -> anyhow::Result<()> {
    let api = Api::named(arguments)?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(send(&api, arguments))
}

async fn send(api: &Api, arguments: &ArgMatches) -> anyhow::Result<()> {
    let json = arguments.get_flag("json");
    let key = arguments
        .get_one::<String>("idempotency-key")
        .map(HeaderValue::try_from)
        .transpose()
        .context("--idempotency-key: a key is of visible characters")?;
    let answer = api.post("/api/messages", key.as_ref(), &message(arguments)).await;
    let answer = answer.map_err(|error| match (&error, &key) {
        (Unanswered::NotReached { .. }, _) => anyhow::Error::new(error),
        (Unanswered::Lost { .. }, Some(_)) => {
            anyhow::Error::new(error).context("it may or may not be accepted: repeat the command to find out")
        }
        (Unanswered::Lost { .. }, None) => anyhow::Error::new(error).context(
            "it may or may not be accepted; with --idempotency-key, the command could be repeated safely",
        ),
    })?;
    let accepted = answer.done_or_shown(json)?;
    let id = accepted["id"]
        .as_str()
        .context("the service told no id")?
        .to_owned();
    let Some(seconds) = arguments.get_one::<u64>("wait") else {
        if json {
            return print_json(&accepted);
        }
        let conversation = harmless(accepted["conversation_id"].as_str().unwrap_or("none"));
        return print(&format!(
            "{} {} in conversation {conversation}\n",
            Paint::on_stdout().good("accepted"),
            harmless(&id)
        ));
    };
    let message = wait(api, &id, Duration::from_secs(*seconds)).await?;
    if json {
        print_json(&message)?;
    } else {
        print(&told(&message, Paint::on_stdout()))?;
    }
    match message["status"].as_str() {
        Some("dispatched") => Ok(()),
        Some("pending") => bail!("it is accepted and still on its way after {seconds} s"),
        _ => bail!("it was not sent"),
    }
}

/// The message as the unified route takes it.
fn message(arguments: &ArgMatches) -> Value {
    let given = |name: &str| arguments.get_one::<String>(name);
    let attachments: Vec<&String> = arguments
        .get_many("attachment")
        .map(Iterator::collect)
        .unwrap_or_default();
    let to_email = given("to").is_some_and(|to| to.contains('@'));
    let channel = match given("channel") {
        Some(channel) => channel.as_str(),
        None if to_email => Channel::Email.as_str(),
        None if attachments.is_empty() => Channel::Sms.as_str(),
        None => Channel::Mms.as_str(),
    };
    let mut message = Map::new();
    message.insert("channel".to_owned(), json!(channel));
    for name in ["from", "to", "body", "subject"] {
        if let Some(text) = given(name) {
            message.insert(name.to_owned(), json!(text));
        }
    }
    if !attachments.is_empty() {
        message.insert("attachments".to_owned(), json!(attachments));
    }
    message.into()
}

/// The message, once its status is final or the time is over.
async fn wait(api: &Api, id: &str, at_most: Duration) -> anyhow::Result<Value> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let path = format!("/api/messages/{id}");
    loop {
        let answer = api.get(&path, &[]).await;
        let over = clock.monotonic() >= at_most;
        match answer {
            Ok(answer) => match answer.done() {
                Ok(message) if over || message["status"] != "pending" => return Ok(message),
                // The message is safe; whoever is away will be back.
                Err(refusal) if over || !refusal.status.is_server_error() => {
                    return Err(refusal)
                        .with_context(|| format!("{id} is accepted, and cannot be looked at"));
                }
                _ => {}
            },
            Err(error) if over => {
                return Err(error).with_context(|| format!("{id} is accepted, and cannot be looked at"));
            }
            Err(_) => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn told(message: &Value, paint: Paint) -> String {
    let text = |value: &Value| harmless(value.as_str().unwrap_or_default());
    let status = text(&message["status"]);
    let painted = match status.as_str() {
        "dispatched" => paint.good(&status),
        "failed" => paint.bad(&status),
        _ => paint.unsure(&status),
    };
    let mut told = format!(
        "{painted} {} in conversation {}\n",
        text(&message["id"]),
        text(&message["conversation_id"])
    );
    for attempt in message["attempts"].as_array().into_iter().flatten() {
        let code = match attempt["error_code"].as_str() {
            Some(code) => format!(", {}", harmless(code)),
            None => String::new(),
        };
        told.push_str(&format!(
            "  attempt {} at {}: {}{code}\n",
            attempt["attempt_number"],
            text(&attempt["provider"]),
            text(&attempt["outcome"])
        ));
    }
    if let Some(reason) = message["failure"]["reason"].as_str() {
        told.push_str(&format!("  given up: {}\n", harmless(reason)));
    }
    if let Some(reason) = message["hold"]["reason"].as_str() {
        told.push_str(&format!("  held: {}\n", harmless(reason)));
    }
    told
}
