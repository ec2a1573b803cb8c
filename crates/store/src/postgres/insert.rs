//! The transaction that accepts: keys and receipts decide who wins, each conversation takes its share of the batch, then
//! messages and outbox entries are stored. What can be sent together is. Conversations can only take their shares when it
//! is known who wins, which takes a round trip; but repeats are rare, so we bet that all win, and begin again when one does not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
};

use deadpool_postgres::Object;
use domain::ConversationId;
use tokio::try_join;
use tokio_postgres::{Error, Row, Statement, types::ToSql};
use uuid::Uuid;

use super::{
    Postgres,
    connections::{Attempt, Retries, begin_counting, limited},
    failure::QueryFailure,
    millis, rows,
    shares::{SQL as CONVERSATIONS_SQL, Shares},
};
use crate::{Accept, Accepted, Arrival, StoreError, json};

/// Stores the winners of a batch; losers get no answer here.
pub(super) async fn insert(store: &Postgres, batch: &[Accept]) -> Result<Vec<Option<Accepted>>, StoreError> {
    let mut retries = Retries::default();
    // Repeats come in swarms, when clients try again what they got no answer to: whoever lost a bet makes none next time.
    let mut bet = !store.repeats_expected.load(Ordering::Relaxed);
    loop {
        let attempt = store.accepting.attempt().await?;
        let result = limited(transact(&attempt, batch, bet)).await;
        match attempt.end(result, &mut retries)? {
            Some(Some(answers)) => {
                let repeats = answers.iter().any(Option::is_none);
                store.repeats_expected.store(repeats, Ordering::Relaxed);
                return Ok(answers);
            }
            Some(None) => bet = false,
            None => {}
        }
    }
}

/// `None` when the bet was lost that nothing in the batch is a repeat: then nothing was changed.
async fn transact(
    attempt: &Attempt,
    batch: &[Accept],
    bet: bool,
) -> Result<Option<Vec<Option<Accepted>>>, QueryFailure> {
    // All of them before the transaction begins: what is sent together below must find its statement prepared, or it
    // would be overtaken by what comes after it, and the last of that is the commit.
    let statements = Statements::prepare(attempt.client()).await?;
    let client = attempt.client();
    let claims = Claims::of(batch);
    let (winners, shares, threads);
    if bet || claims.is_empty() {
        let candidates = claims.candidates(batch);
        shares = shares_of(&candidates);
        let ((), keys, receipts, told) = try_join!(
            biased;
            begin_counting(client),
            claims.insert_keys(client, &statements),
            claims.insert_receipts(client, &statements),
            shares.upsert(client, &statements.conversations),
        )?;
        if keys.len() + receipts.len() < claims.len() {
            client.batch_execute("rollback").await?;
            return Ok(None);
        }
        (winners, threads) = (candidates, told);
    } else {
        let ((), keys, receipts) = try_join!(
            biased;
            begin_counting(client),
            claims.insert_keys(client, &statements),
            claims.insert_receipts(client, &statements),
        )?;
        winners = claims.winners(batch, &keys, &receipts)?;
        shares = shares_of(&winners);
        threads = shares.upsert(client, &statements.conversations).await?;
    }
    let places = shares.places(winners.iter().map(|(_, accept)| &accept.conversation), &threads)?;
    let (messages, entries) = (Messages::of(&winners, &places), Entries::of(&winners));
    attempt.commits();
    try_join!(
        biased;
        messages.insert(client, &statements),
        entries.insert(client, &statements),
        client.batch_execute("commit"),
    )?;
    let mut answers = vec![None; batch.len()];
    for ((place, _), (conversation_id, sequence)) in winners.iter().zip(places) {
        answers[*place] = Some(Accepted::New {
            conversation_id,
            sequence: sequence.unsigned_abs(),
        });
    }
    Ok(Some(answers))
}

/// Runs a statement that has something to do only for a batch that is not empty.
async fn query(
    client: &Object,
    statement: &Statement,
    batch_len: usize,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Error> {
    if batch_len == 0 {
        return Ok(Vec::new());
    }
    client.query(statement, params).await
}

fn shares_of<'a>(winners: &[(usize, &'a Accept)]) -> Shares<'a> {
    let mut shares = Shares::default();
    for (_, accept) in winners {
        shares.add(&accept.conversation, accept.timestamp, accept.processed_at);
    }
    shares
}

struct Statements {
    keys: Statement,
    receipts: Statement,
    conversations: Statement,
    messages: Statement,
    outbox: Statement,
}

impl Statements {
    async fn prepare(client: &Object) -> Result<Self, Error> {
        let prepare = async |sql: &'static str| client.prepare_cached(sql).await;
        Ok(Self {
            keys: prepare(include_str!("../../sql/idempotency_keys/insert.postgres.sql")).await?,
            receipts: prepare(include_str!("../../sql/receipts/insert.postgres.sql")).await?,
            conversations: prepare(CONVERSATIONS_SQL).await?,
            messages: prepare(include_str!("../../sql/messages/insert.postgres.sql")).await?,
            outbox: prepare(include_str!("../../sql/outbox/insert.postgres.sql")).await?,
        })
    }
}

/// What messages of a batch are recognized by when they are repeated: each key, and each id of a provider, once, for the
/// first that has it, in their order. Two nodes that accept at the same time wait for each other, but never in a circle.
#[derive(Default)]
struct Claims<'a> {
    keys: BTreeMap<&'a str, (&'a [u8], Uuid)>,
    receipts: BTreeMap<(&'a str, &'a str), (Uuid, &'a str)>,
}

impl<'a> Claims<'a> {
    fn of(batch: &'a [Accept]) -> Self {
        let mut claims = Self::default();
        for accept in batch {
            let id = accept.id.as_uuid();
            match &accept.arrival {
                Arrival::Send { request: None, .. } => {}
                Arrival::Send {
                    request: Some(request),
                    ..
                } => {
                    let claim = (request.fingerprint.0.as_slice(), id);
                    claims.keys.entry(request.key.as_str()).or_insert(claim);
                }
                Arrival::Receive {
                    provider_message_id,
                    payload,
                } => {
                    let receipt = (accept.provider.as_str(), provider_message_id.as_str());
                    claims.receipts.entry(receipt).or_insert((id, payload));
                }
            }
        }
        claims
    }

    fn len(&self) -> usize {
        self.keys.len() + self.receipts.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that claim nothing, and those that are the first in the batch to claim what they do.
    fn candidates(&self, batch: &'a [Accept]) -> Vec<(usize, &'a Accept)> {
        let firsts = self.keys.values().map(|(_, id)| *id);
        let firsts = firsts.chain(self.receipts.values().map(|(id, _)| *id)).collect();
        only(batch, &firsts)
    }

    async fn insert_keys(&self, client: &Object, statements: &Statements) -> Result<Vec<Row>, Error> {
        let keys: Vec<&str> = self.keys.keys().copied().collect();
        let (fingerprints, ids): (Vec<&[u8]>, Vec<Uuid>) = self.keys.values().copied().unzip();
        query(client, &statements.keys, ids.len(), &[&keys, &fingerprints, &ids]).await
    }

    async fn insert_receipts(&self, client: &Object, statements: &Statements) -> Result<Vec<Row>, Error> {
        let (providers, provider_message_ids): (Vec<&str>, Vec<&str>) = self.receipts.keys().copied().unzip();
        let (ids, payloads): (Vec<Uuid>, Vec<&str>) = self.receipts.values().copied().unzip();
        let params: [&(dyn ToSql + Sync); 4] = [&providers, &provider_message_ids, &ids, &payloads];
        query(client, &statements.receipts, ids.len(), &params).await
    }

    /// Those that claim nothing, and those that got what they claimed.
    fn winners(
        &self,
        batch: &'a [Accept],
        keys: &[Row],
        receipts: &[Row],
    ) -> Result<Vec<(usize, &'a Accept)>, QueryFailure> {
        let won = keys.iter().chain(receipts);
        let won: BTreeSet<Uuid> = won
            .map(|row| rows::get(row, "message_id"))
            .collect::<Result<_, StoreError>>()?;
        Ok(only(batch, &won))
    }
}

/// Those that claim nothing, and these.
fn only<'a>(batch: &'a [Accept], claimants: &BTreeSet<Uuid>) -> Vec<(usize, &'a Accept)> {
    let stays = |accept: &Accept| {
        matches!(accept.arrival, Arrival::Send { request: None, .. })
            || claimants.contains(&accept.id.as_uuid())
    };
    batch
        .iter()
        .enumerate()
        .filter(|(_, accept)| stays(accept))
        .collect()
}

/// Messages as one array per column.
#[derive(Default)]
struct Messages<'a> {
    id: Vec<Uuid>,
    conversation_id: Vec<i64>,
    sequence: Vec<i64>,
    direction: Vec<&'a str>,
    channel: Vec<&'a str>,
    sender: Vec<&'a str>,
    recipient: Vec<&'a str>,
    subject: Vec<Option<&'a str>>,
    body: Vec<&'a str>,
    attachments: Vec<Option<String>>,
    timestamp: Vec<jiff::Timestamp>,
    processed_at: Vec<jiff::Timestamp>,
    provider: Vec<&'a str>,
}

impl<'a> Messages<'a> {
    fn of(winners: &[(usize, &'a Accept)], places: &[(ConversationId, i64)]) -> Self {
        let mut columns = Self::default();
        for ((_, accept), (conversation_id, sequence)) in winners.iter().zip(places) {
            let content = &accept.content;
            columns.id.push(accept.id.as_uuid());
            columns.conversation_id.push(conversation_id.get());
            columns.sequence.push(*sequence);
            columns.direction.push(match accept.arrival {
                Arrival::Send { .. } => "outbound",
                Arrival::Receive { .. } => "inbound",
            });
            columns.channel.push(content.channel.as_str());
            columns.sender.push(content.from.as_str());
            columns.recipient.push(content.to.as_str());
            columns
                .subject
                .push(content.subject.as_ref().map(domain::Subject::as_str));
            columns.body.push(content.body.as_str());
            columns
                .attachments
                .push(json::from_attachments(&content.attachments));
            columns.timestamp.push(accept.timestamp.into());
            columns.processed_at.push(accept.processed_at.into());
            columns.provider.push(accept.provider.as_str());
        }
        columns
    }

    async fn insert(&self, client: &Object, statements: &Statements) -> Result<Vec<Row>, Error> {
        let params: [&(dyn ToSql + Sync); 13] = [
            &self.id,
            &self.conversation_id,
            &self.sequence,
            &self.direction,
            &self.channel,
            &self.sender,
            &self.recipient,
            &self.subject,
            &self.body,
            &self.attachments,
            &self.timestamp,
            &self.processed_at,
            &self.provider,
        ];
        query(client, &statements.messages, self.id.len(), &params).await
    }
}

/// Outbox entries as one array per column.
#[derive(Default)]
struct Entries<'a> {
    message_id: Vec<Uuid>,
    provider: Vec<&'a str>,
    lease_ms: Vec<Option<i64>>,
    deadline_ms: Vec<i64>,
}

impl<'a> Entries<'a> {
    fn of(winners: &[(usize, &'a Accept)]) -> Self {
        let mut columns = Self::default();
        for (_, accept) in winners {
            if let Arrival::Send { deadline, lease, .. } = &accept.arrival {
                columns.message_id.push(accept.id.as_uuid());
                columns.provider.push(accept.provider.as_str());
                columns.lease_ms.push(lease.map(millis));
                columns.deadline_ms.push(millis(*deadline));
            }
        }
        columns
    }

    async fn insert(&self, client: &Object, statements: &Statements) -> Result<Vec<Row>, Error> {
        let params: [&(dyn ToSql + Sync); 4] = [
            &self.message_id,
            &self.provider,
            &self.lease_ms,
            &self.deadline_ms,
        ];
        query(client, &statements.outbox, self.message_id.len(), &params).await
    }
}
