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

/// How long one request waits for the status.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Pause after a request that failed.
const PAUSE: Duration = Duration::from_millis(200);
/// Seconds that `--wait` waits without a value.
const WAIT_SECS: &str = "60";

pub(crate) fn command() -> Command {
    let text = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    let channel = text("channel", "CHANNEL")
        .value_parser(["sms", "mms", "email"])
        .help("Channel [default: email if --to is an email address, mms with --attachment, else sms]");
    let wait = Arg::new("wait")
        .long("wait")
        .value_name("SECONDS")
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value(WAIT_SECS)
        .value_parser(value_parser!(u64).range(1..=86_400))
        .help(format!(
            "Wait until the status is final, {WAIT_SECS} seconds at most without a number"
        ));
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print the service's answer as JSON");
    Command::new("send")
        .about("Send a message through a running service, and print its status")
        .arg(text("from", "ADDRESS").required(true).help("Sender"))
        .arg(text("to", "ADDRESS").required(true).help("Recipient"))
        .arg(
            text("body", "TEXT")
                .required_unless_present("attachment")
                .allow_hyphen_values(true)
                .help("Text; an MMS needs none"),
        )
        .arg(channel)
        .arg(text("subject", "TEXT").allow_hyphen_values(true).help("Subject of an email"))
        .arg(
            text("attachment", "URL")
                .action(ArgAction::Append)
                .help("URL of an attachment; may be repeated"),
        )
        .arg(
            text("idempotency-key", "KEY")
                .help("A command that is repeated with the same key sends nothing twice"),
        )
        .arg(wait)
        .arg(json)
        .args(client::flags())
        .after_help(
            "The exit status is 0 when the message was accepted; with --wait, when it was dispatched or delivered.\n\n\
             Examples:\n  trunkline send --from +12016661234 --to +18045551234 --body 'Hello!'\n  \
             trunkline send --from desk@example.com --to guest@example.org --subject Hi --body 'Hello!' --wait\n  \
             trunkline send --from +12016661234 --to +18045551234 --attachment https://example.com/a.png\n  \
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
        .context("--idempotency-key: use visible ASCII characters")?;
    let answer = api.post("/api/messages", key.as_ref(), &message(arguments)).await;
    let answer = answer.map_err(|error| match (&error, &key) {
        (Unanswered::NotReached { .. }, _) => anyhow::Error::new(error),
        (Unanswered::Lost { .. }, Some(_)) => {
            anyhow::Error::new(error).context("the message may or may not be accepted: run the same command again to find out")
        }
        (Unanswered::Lost { .. }, None) => anyhow::Error::new(error).context(
            "the message may or may not be accepted; with --idempotency-key the command could be run again safely",
        ),
    })?;
    let accepted = answer.done_or_shown(json)?;
    let id = accepted["id"]
        .as_str()
        .context("the service's answer has no id")?
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
        print(&summary(&message, Paint::on_stdout()))?;
    }
    match message["status"].as_str() {
        Some("dispatched" | "delivered") => Ok(()),
        Some("failed") => bail!("the message failed"),
        Some(status @ ("canceled" | "undelivered")) => bail!("the message is {status}"),
        status => {
            let status = harmless(status.unwrap_or("in an unknown state"));
            bail!("the message is accepted and still {status} after {seconds} s")
        }
    }
}

/// The body of `POST /api/messages`.
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

/// The message once its status is final, or as it is when `at_most` is over.
async fn wait(api: &Api, id: &str, at_most: Duration) -> anyhow::Result<Value> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let path = format!("/api/messages/{id}");
    loop {
        let left = at_most.saturating_sub(clock.monotonic());
        let within = left.min(WAIT_MAX).as_millis().to_string();
        let query = [("wait_ms", within), ("until", "final".to_owned())];
        let answer = api.get(&path, &query).await;
        let over = clock.monotonic() >= at_most;
        let unread = || format!("message {id} is accepted, but its status cannot be read");
        match answer {
            Ok(answer) => match answer.done() {
                Ok(message) if over || message["wait"] == "met" => return Ok(message),
                Ok(_) => continue,
                // The message is stored, and a server error passes.
                Err(refusal) if over || !refusal.status.is_server_error() => {
                    return Err(refusal).with_context(unread);
                }
                Err(_) => {}
            },
            Err(error) if over => return Err(error).with_context(unread),
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn summary(message: &Value, paint: Paint) -> String {
    let text = |value: &Value| harmless(value.as_str().unwrap_or_default());
    let status = text(&message["status"]);
    let painted = match status.as_str() {
        "dispatched" | "delivered" => paint.good(&status),
        "failed" | "undelivered" => paint.bad(&status),
        _ => paint.unsure(&status),
    };
    let mut summary = format!(
        "{painted} {} in conversation {}\n",
        text(&message["id"]),
        text(&message["conversation_id"])
    );
    for attempt in message["attempts"].as_array().into_iter().flatten() {
        let code = match attempt["error_code"].as_str() {
            Some(code) => format!(", {}", harmless(code)),
            None => String::new(),
        };
        summary.push_str(&format!(
            "  attempt {} at {}: {}{code}\n",
            attempt["attempt_number"],
            text(&attempt["provider"]),
            text(&attempt["outcome"])
        ));
    }
    if let Some(reason) = message["failure"]["reason"].as_str() {
        summary.push_str(&format!("  reason: {}\n", harmless(reason)));
    }
    if let Some(reason) = message["hold"]["reason"].as_str() {
        summary.push_str(&format!("  held: {}\n", harmless(reason)));
    }
    summary
}
