use rusqlite::{Connection, OpenFlags};
use tokio_postgres::{Client, NoTls};

use super::Database;

/// A message's id without its dashes: the form both databases can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(String);

impl Id {
    pub(crate) fn of(text: &str) -> Self {
        Self(text.replace('-', ""))
    }
}

/// The rows of a database, read past the API.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) conversations: Vec<Conversation>,
    pub(crate) messages: Vec<Message>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) outbox: Vec<Entry>,
    pub(crate) keys: Vec<(String, Id)>,
    /// The providers' own ids of inbound messages.
    pub(crate) inbound_ids: Vec<(String, Id)>,
    /// The messages of receipts that were applied.
    pub(crate) applied_receipts: Vec<Id>,
    /// The messages of follow-ups that are still to be performed.
    pub(crate) follow_ups: Vec<Id>,
}

#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) id: String,
    pub(crate) parties: [String; 3],
    pub(crate) message_count: usize,
    pub(crate) last_activity: i64,
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) id: Id,
    pub(crate) conversation: String,
    pub(crate) sequence: usize,
    pub(crate) outbound: bool,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) body: String,
    /// Its timestamp, unless that is ahead of when it was processed.
    pub(crate) active_at: i64,
    pub(crate) status: String,
    pub(crate) failure: String,
}

#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) message: Id,
    pub(crate) number: u64,
    pub(crate) outcome: String,
    /// Empty if there is none.
    pub(crate) late_outcome: String,
}

impl Attempt {
    /// Whether the provider may have the message without an answer that says so.
    pub(crate) fn is_ambiguous(&self) -> bool {
        matches!(self.outcome.as_str(), "timeout" | "unknown")
    }
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) message: Id,
    pub(crate) leased: bool,
    pub(crate) dead: bool,
}

impl Contents {
    pub(crate) async fn read(database: &Database) -> Self {
        let id = |column: &str| match database {
            Database::Sqlite(_) => format!("lower(hex({column}))"),
            Database::Postgres(_) => format!("replace({column}::text, '-', '')"),
        };
        let micros = |column: &str| match database {
            Database::Sqlite(_) => column.to_owned(),
            Database::Postgres(_) => format!("(extract(epoch from {column}) * 1000000)::bigint"),
        };
        let conversations = format!(
            "select id, channel, participant_a, participant_b, message_count, {} from conversations",
            micros("last_activity_at")
        );
        let messages = format!(
            "select {}, conversation_id, sequence, direction, sender, recipient, body, {}, status, failure_reason
             from messages_with_status",
            id("id"),
            micros(match database {
                Database::Sqlite(_) => "min(timestamp, processed_at)",
                Database::Postgres(_) => "least(timestamp, processed_at)",
            })
        );
        let attempts = format!(
            "select {}, number, outcome, late_outcome from attempts order by 1, attempts.number",
            id("message_id")
        );
        let outbox = format!("select {}, leased_until, dead_at from outbox", id("message_id"));
        let keys = format!("select key, {} from idempotency_keys", id("message_id"));
        let inbound_ids = format!(
            "select provider_message_id, {} from inbound_ids",
            id("message_id")
        );
        let receipts = format!(
            "select {} from receipts where message_id is not null",
            id("message_id")
        );
        let follow_ups = format!("select {} from follow_ups", id("message_id"));
        let ids_by_name = async |statement: &str| {
            let rows = rows(database, statement).await.into_iter();
            rows.map(|[name, id]: [String; 2]| (name, Id::of(&id))).collect()
        };
        Self {
            conversations: rows(database, &conversations)
                .await
                .into_iter()
                .map(Conversation::of)
                .collect(),
            messages: rows(database, &messages)
                .await
                .into_iter()
                .map(Message::of)
                .collect(),
            attempts: rows(database, &attempts)
                .await
                .into_iter()
                .map(Attempt::of)
                .collect(),
            outbox: rows(database, &outbox).await.into_iter().map(Entry::of).collect(),
            keys: ids_by_name(&keys).await,
            inbound_ids: ids_by_name(&inbound_ids).await,
            applied_receipts: rows(database, &receipts)
                .await
                .into_iter()
                .map(|[id]: [String; 1]| Id(id))
                .collect(),
            follow_ups: rows(database, &follow_ups)
                .await
                .into_iter()
                .map(|[id]: [String; 1]| Id(id))
                .collect(),
        }
    }
}

impl Conversation {
    fn of([id, channel, a, b, count, last_activity]: [String; 6]) -> Self {
        Self {
            id,
            parties: [channel, a, b],
            message_count: count.parse().unwrap(),
            last_activity: last_activity.parse().unwrap(),
        }
    }
}

impl Message {
    fn of(row: [String; 10]) -> Self {
        let [
            id,
            conversation,
            sequence,
            direction,
            from,
            to,
            body,
            active_at,
            status,
            failure,
        ] = row;
        Self {
            id: Id(id),
            conversation,
            sequence: sequence.parse().unwrap(),
            outbound: direction == "outbound",
            from,
            to,
            body,
            active_at: active_at.parse().unwrap(),
            status,
            failure,
        }
    }
}

impl Attempt {
    fn of([message, number, outcome, late_outcome]: [String; 4]) -> Self {
        Self {
            message: Id(message),
            number: number.parse().unwrap(),
            outcome,
            late_outcome,
        }
    }
}

impl Entry {
    fn of([message, leased_until, dead_at]: [String; 3]) -> Self {
        Self {
            message: Id(message),
            leased: !leased_until.is_empty(),
            dead: !dead_at.is_empty(),
        }
    }
}

/// The rows a statement finds, each column as text, empty for null.
pub(crate) async fn rows<const COLUMNS: usize>(
    database: &Database,
    statement: &str,
) -> Vec<[String; COLUMNS]> {
    match database {
        Database::Sqlite(path) => {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
            let mut statement = connection.prepare(statement).unwrap();
            let rows = statement.query_map([], |row| {
                let mut texts = [const { String::new() }; COLUMNS];
                for (index, text) in texts.iter_mut().enumerate() {
                    *text = match row.get(index)? {
                        rusqlite::types::Value::Text(text) => text,
                        rusqlite::types::Value::Integer(number) => number.to_string(),
                        rusqlite::types::Value::Null => String::new(),
                        other => panic!("{other:?} is neither text nor number"),
                    };
                }
                Ok(texts)
            });
            rows.unwrap().map(Result::unwrap).collect()
        }
        Database::Postgres(url) => query(url, statement).await.unwrap(),
    }
}

/// The same for PostgreSQL, which may be away.
pub(super) async fn query<const COLUMNS: usize>(
    url: &str,
    statement: &str,
) -> Result<Vec<[String; COLUMNS]>, tokio_postgres::Error> {
    let client = connect(url).await?;
    // The simple protocol answers every type as text.
    let answers = client.simple_query(statement).await?;
    let row = |answer| match answer {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(std::array::from_fn(|index| {
            row.get(index).unwrap_or_default().to_owned()
        })),
        _ => None,
    };
    Ok(answers.into_iter().filter_map(row).collect())
}

pub(crate) async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Runs a statement at PostgreSQL.
pub(crate) async fn execute(url: &str, statement: &str) -> Result<(), tokio_postgres::Error> {
    connect(url).await?.batch_execute(statement).await
}
