//! The simplest service that could do the job: axum, a connection pool, and one transaction for each request that upserts the
//! conversation, inserts the message, its idempotency key and its outbox entry, and commits. Tables and rows are the
//! product's. It validates nothing, limits nothing, logs nothing, never reads a key again and sends nothing.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use domain::{Clock, Entropy, MessageId, SystemClock};
use serde::Deserialize;
use serde_json::json;
use tokio::{net::TcpListener, process::Command};
use tokio_postgres::NoTls;

use super::{Server, Store};

/// Connections of the pool: the best number on two cores, see docs/performance.md. Over many conversations connections share
/// a flush of the log; in one conversation they wait for its row, so fewer are better.
pub(crate) fn best_pool(pairs: u32, clients: usize) -> usize {
    match (pairs, clients) {
        (1, _) => 4,
        (_, ..=64) => 8,
        _ => 16,
    }
}

const UPSERT_CONVERSATION: &str = "insert into conversations as c
        (channel, participant_a, participant_b, message_count, last_activity_at, created_at)
    values ('sms', $1, $2, 1, $3, now())
    on conflict (participant_a, participant_b, channel) do update set
        message_count = c.message_count + 1,
        last_activity_at = greatest(c.last_activity_at, excluded.last_activity_at)
    returning id, message_count";
const INSERT_MESSAGE: &str = "insert into messages (
        id, conversation_id, sequence, direction, channel, sender, recipient, from_participant, to_participant, body,
        timestamp, processed_at, provider
    ) values ($1, $2, $3, 'outbound', 'sms', $4, $5, $4, $5, $6, $7, now(), 'sms-mms')";
const INSERT_KEY: &str = "insert into idempotency_keys (key, fingerprint, message_id) values ($1, $2, $3)";
/// As large as a real one.
const FINGERPRINT: &[u8] = &[0; 32];
const INSERT_OUTBOX: &str =
    "insert into outbox (message_id, conversation_id, provider, channel, due_at, lease_token, deadline_at)
    values ($1, $2, 'sms-mms', 'sms', now(), 0, now() + interval '4 hours')";

struct App {
    pool: Pool,
    clock: SystemClock,
    ids: Entropy,
}

#[derive(Deserialize)]
struct Sms {
    from: String,
    to: String,
    body: String,
    timestamp: String,
}

/// Starts the baseline as a process of its own.
pub(crate) async fn start(store: &Store, directory: &Path, pool: usize) -> anyhow::Result<Server> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["baseline", "--database-url", &store.url()])
        .args(["--pool", &pool.to_string()]);
    Server::start(command, &directory.join("baseline.log")).await
}

/// Runs the baseline until it is stopped.
pub(crate) async fn serve(database_url: &str, pool: usize) -> anyhow::Result<()> {
    let recycling = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let manager = Manager::from_config(database_url.parse()?, NoTls, recycling);
    let pool = Pool::builder(manager)
        .max_size(pool)
        .runtime(Runtime::Tokio1)
        .build()?;
    let app = App {
        pool,
        clock: SystemClock::new(),
        ids: Entropy::from_system(),
    };
    let router = Router::new()
        .route("/api/messages/sms", post(send))
        .with_state(Arc::new(app));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("The baseline is listening on http://{} .", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}

async fn send(State(app): State<Arc<App>>, headers: HeaderMap, Json(sms): Json<Sms>) -> Response {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    match store(&app, &sms, key).await {
        Ok((id, conversation_id)) => {
            let body =
                json!({"status": "accepted", "id": id, "conversation_id": conversation_id.to_string()});
            (StatusCode::ACCEPTED, Json(body)).into_response()
        }
        Err(error) => {
            eprintln!("{error:#}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn store(app: &App, sms: &Sms, key: Option<&str>) -> anyhow::Result<(MessageId, i64)> {
    let id = MessageId::mint(app.clock.now(), &app.ids);
    let timestamp: jiff::Timestamp = sms.timestamp.parse().context("the timestamp")?;
    let (a, b) = if sms.from <= sms.to {
        (&sms.from, &sms.to)
    } else {
        (&sms.to, &sms.from)
    };
    let mut client = app.pool.get().await?;
    let transaction = client.transaction().await?;
    let upsert = transaction.prepare_cached(UPSERT_CONVERSATION).await?;
    let conversation = transaction.query_one(&upsert, &[a, b, &timestamp]).await?;
    let (conversation_id, sequence): (i64, i64) = (conversation.get(0), conversation.get(1));
    let insert = transaction.prepare_cached(INSERT_MESSAGE).await?;
    let (from, to, body) = (&sms.from, &sms.to, &sms.body);
    transaction
        .execute(
            &insert,
            &[
                &id.as_uuid(),
                &conversation_id,
                &sequence,
                from,
                to,
                body,
                &timestamp,
            ],
        )
        .await?;
    if let Some(key) = key {
        let insert = transaction.prepare_cached(INSERT_KEY).await?;
        transaction
            .execute(&insert, &[&key, &FINGERPRINT, &id.as_uuid()])
            .await?;
    }
    let insert = transaction.prepare_cached(INSERT_OUTBOX).await?;
    transaction
        .execute(&insert, &[&id.as_uuid(), &conversation_id])
        .await?;
    transaction.commit().await?;
    Ok((id, conversation_id))
}
