use anyhow::Context;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::Value;

use crate::{
    client::{self, Api},
    terminal::{Paint, Table, grouped, harmless, print, print_json},
};

/// The API's largest page.
const LIMIT_MAX: i64 = 200;

pub(crate) fn command() -> Command {
    let id = Arg::new("id")
        .value_name("ID")
        .help("List the messages of this conversation, oldest first");
    let channel = Arg::new("channel")
        .long("channel")
        .value_name("CHANNEL")
        .value_parser(["sms", "email"])
        .conflicts_with("id")
        .help("Only this channel; sms includes MMS");
    let participant = Arg::new("participant")
        .long("participant")
        .value_name("ADDRESS")
        .conflicts_with("id")
        .help("Only conversations with this number or address");
    let limit = Arg::new("limit")
        .long("limit")
        .value_name("COUNT")
        .default_value("20")
        .value_parser(value_parser!(u32).range(1..=LIMIT_MAX))
        .help(format!("How many to list, up to {LIMIT_MAX}"));
    let cursor = Arg::new("cursor")
        .long("cursor")
        .value_name("CURSOR")
        .help("Continue where an earlier list ended");
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print the service's answer as JSON");
    Command::new("conversations")
        .about("List the conversations of a running service, or the messages of one")
        .args([id, channel, participant, limit, cursor, json])
        .args(client::flags())
        .after_help(
            "Examples:\n  trunkline conversations                        latest activity first\n  \
             trunkline conversations 1                      the messages of conversation 1\n  \
             trunkline conversations --channel sms --participant '+1 (804) 555-1234'\n  \
             trunkline conversations --json | jq '.items[].message_count'",
        )
}

pub(crate) fn run(arguments: &ArgMatches) -> anyhow::Result<()> {
    let api = Api::named(arguments)?;
    let text = |name: &str| arguments.get_one::<String>(name);
    let id = text("id");
    let path = match id {
        Some(id) => {
            let number: u64 = id.parse().context("ID: use the number of a conversation")?;
            format!("/api/conversations/{number}/messages")
        }
        None => "/api/conversations".to_owned(),
    };
    let mut query = Vec::new();
    if let Some(limit) = arguments.get_one::<u32>("limit") {
        query.push(("pageSize", limit.to_string()));
    }
    for name in ["channel", "participant", "cursor"] {
        query.extend(text(name).map(|value| (name, value.clone())));
    }
    let json = arguments.get_flag("json");
    let page = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(api.get(&path, &query))?
        .done_or_shown(json)?;
    if json {
        return print_json(&page);
    }
    let paint = Paint::on_stdout();
    let table = match id {
        Some(_) => listed(&page, &MESSAGE_COLUMNS, message),
        None => listed(&page, &CONVERSATION_COLUMNS, conversation),
    };
    print(&(table.render(paint) + &end(&page, paint)))
}

const CONVERSATION_COLUMNS: [&str; 5] = ["id", "channel", "participants", "messages", "last activity"];
const MESSAGE_COLUMNS: [&str; 6] = ["#", "written", "channel", "from", "status", "message"];

fn listed(page: &Value, columns: &[&'static str], row: impl Fn(&Value) -> Vec<String>) -> Table {
    let mut table = Table::new(columns);
    for item in page["items"].as_array().into_iter().flatten() {
        table.row(row(item));
    }
    table
}

fn conversation(item: &Value) -> Vec<String> {
    vec![
        shown(&item["id"]),
        shown(&item["channel"]),
        format!(
            "{} <-> {}",
            shown(&item["participant_a"]),
            shown(&item["participant_b"])
        ),
        grouped(item["message_count"].as_u64().unwrap_or_default()),
        to_the_second(&item["last_activity_at"]),
    ]
}

fn message(item: &Value) -> Vec<String> {
    let attached = match item["attachments"].as_array().map_or(0, Vec::len) {
        0 => String::new(),
        count => format!("[{count} attached] "),
    };
    let subject = match item["subject"].as_str() {
        Some(subject) => format!("{}: ", harmless(subject)),
        None => String::new(),
    };
    vec![
        item["sequence"].to_string(),
        to_the_second(&item["timestamp"]),
        shown(&item["channel"]),
        shown(&item["from"]),
        shown(&item["status"]),
        format!("{attached}{subject}{}", shown(&item["snippet"])),
    ]
}

/// How many there are, and how to list the next ones.
fn end(page: &Value, paint: Paint) -> String {
    let meta = &page["meta"];
    let shown = page["items"].as_array().map_or(0, Vec::len) as u64;
    let total = meta["total"].as_u64().unwrap_or_default();
    let more = if meta["total_capped"] == true {
        "more than "
    } else {
        ""
    };
    let mut end = format!("{} of {more}{}", grouped(shown), grouped(total));
    if let Some(cursor) = meta["next_cursor"].as_str() {
        end.push_str(&format!("; continue with --cursor {}", harmless(cursor)));
    }
    format!("{}\n", paint.dim(&end))
}

fn shown(value: &Value) -> String {
    harmless(value.as_str().unwrap_or_default())
}

/// An instant as `2026-03-01 10:00:00`, in UTC.
fn to_the_second(instant: &Value) -> String {
    let text = shown(instant);
    let seconds = text.trim_end_matches('Z').split('.').next().unwrap_or_default();
    seconds.replacen('T', " ", 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_aligned_and_without_control_characters() {
        let item = |id: &str, count: u64| {
            json!({"id": id, "channel": "sms", "participant_a": "+1201", "participant_b": "+1804",
                   "message_count": count, "last_activity_at": "2026-03-01T10:00:00.000001Z"})
        };
        let page = json!({"items": [item("7", 1_000), item("12", 3)],
                          "meta": {"total": 10_000, "total_capped": true, "next_cursor": "abc"}});
        let shown =
            listed(&page, &CONVERSATION_COLUMNS, conversation).render(Paint::NONE) + &end(&page, Paint::NONE);
        let expected = "\
id  channel  participants     messages  last activity
 7  sms      +1201 <-> +1804     1,000  2026-03-01 10:00:00
12  sms      +1201 <-> +1804         3  2026-03-01 10:00:00
2 of more than 10,000; continue with --cursor abc
";
        assert_eq!(shown, expected);
        let page = json!({"items": [{"sequence": 1, "timestamp": "2026-03-01T10:00:00Z", "channel": "email",
                                     "from": "a@example.org", "status": "received", "subject": "Hi\u{1b}[2J",
                                     "snippet": "line\nline", "attachments": ["https://example.org/"]}],
                          "meta": {"total": 1}});
        let shown = listed(&page, &MESSAGE_COLUMNS, message).render(Paint::NONE);
        assert!(
            shown.ends_with("received  [1 attached] Hi [2J: line line\n"),
            "{shown}"
        );
    }
}
