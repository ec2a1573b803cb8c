use domain::{
    ConversationId, ErrorCode, EventSubject, EventType, FailureReason, Outcome, ProviderMessageId,
    ProviderName, Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{
    claim::{LEASE_EXPIRED, read_progress, record_expired},
    events::NewEvents,
    follow_ups, rows,
};
use crate::{DeadLetter, Disposition, FollowUpKey, Progress, Settled, Settlement, instant_after};

pub(super) fn settle_one(
    connection: &Connection,
    settlement: &Settlement,
    now: Timestamp,
    events: &mut NewEvents,
) -> rusqlite::Result<Settled> {
    let Settlement {
        id,
        token,
        tried,
        disposition,
        progress,
        follow_ups,
    } = settlement;
    let id = id.as_uuid();
    let held: Option<(i64, String, u32, bool)> = connection
        .prepare_cached(include_str!("../../sql/outbox/held.sqlite.sql"))?
        .query_row(params![id, token.0], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((conversation_id, provider, lost, unsure)) = held else {
        return settle_late(connection, settlement);
    };
    let conversation_id = rows::conversation_id(conversation_id)?;
    let outcome = tried.as_ref().map(|tried| tried.outcome);
    let progress = Progress {
        lost,
        unsure: unsure || outcome.is_some_and(Outcome::is_unsure),
        ..*progress
    };
    if matches!(disposition, Disposition::Reroute { .. })
        && (progress.unsure || outcome == Some(Outcome::Success))
    {
        return Ok(Settled::RerouteRefused);
    }
    if let Some(tried) = tried {
        connection
            .prepare_cached(include_str!("../../sql/attempts/insert.sqlite.sql"))?
            .execute(params![
                id,
                progress.attempts,
                token.0,
                provider,
                tried.outcome.as_str(),
                tried.error_code.as_ref().map(ErrorCode::as_str),
                tried.occurred_at.as_micros(),
                i64::try_from(tried.latency.as_millis()).unwrap_or(i64::MAX),
                tried.provider_message_id.as_ref().map(ProviderMessageId::as_str),
            ])?;
    }
    for (place, follow_up) in (0..).zip(follow_ups) {
        let key = FollowUpKey {
            message_id: settlement.id,
            attempt: progress.attempts,
            place,
        };
        let taken_as = tried
            .as_ref()
            .and_then(|tried| tried.provider_message_id.as_ref());
        follow_ups::insert(connection, key, &provider, taken_as, follow_up, now)?;
    }
    match disposition {
        Disposition::Finish => {
            connection
                .prepare_cached(include_str!("../../sql/outbox/delete.sqlite.sql"))?
                .execute([id])?;
            events.of_message(EventType::MessageDispatched, id, conversation_id);
        }
        Disposition::Retry { after } => {
            let due_at = instant_after(now, *after);
            keep(connection, id, &progress, Next::Due(due_at, None), now)?;
        }
        Disposition::Reroute { provider } => {
            keep(connection, id, &progress, Next::Due(now, Some(provider)), now)?;
            connection
                .prepare_cached(include_str!("../../sql/messages/reroute.sqlite.sql"))?
                .execute(params![id, provider.as_str()])?;
        }
        Disposition::DeadLetter(reason) => {
            let error_code: Option<String> = connection
                .prepare_cached(include_str!("../../sql/attempts/last_error.sqlite.sql"))?
                .query_row([id], |row| row.get(0))
                .optional()?
                .flatten();
            let dead = Next::Dead(*reason, error_code.as_deref());
            keep(connection, id, &progress, dead, now)?;
            events.push(
                EventType::MessageFailed,
                failed(id, conversation_id, *reason, error_code.as_deref()),
            );
        }
    }
    Ok(Settled::Applied)
}

/// A settlement whose lease is lost adds its late outcome. It may also repeat one that was applied.
fn settle_late(connection: &Connection, settlement: &Settlement) -> rusqlite::Result<Settled> {
    let Settlement {
        id,
        token,
        tried,
        disposition,
        progress,
        follow_ups: _,
    } = settlement;
    let id = id.as_uuid();
    if let Some(tried) = tried {
        connection
            .prepare_cached(include_str!("../../sql/attempts/add_late_outcome.sqlite.sql"))?
            .execute(params![
                id,
                token.0,
                progress.attempts,
                tried.outcome.as_str(),
                tried.provider_message_id.as_ref().map(ProviderMessageId::as_str),
            ])?;
    }
    let route = match disposition {
        Disposition::Reroute { provider } => Some(provider.as_str()),
        _ => None,
    };
    let applied_before = connection
        .prepare_cached(include_str!("../../sql/attempts/settled.sqlite.sql"))?
        .exists(params![id, token.0, progress.attempts, tried.is_some(), route])?;
    Ok(if applied_before {
        Settled::Applied
    } else {
        Settled::LeaseLost
    })
}

/// The next state of a settled entry.
enum Next<'a> {
    /// Due at this time, at another provider if one is given.
    Due(Timestamp, Option<&'a ProviderName>),
    /// Dead from now on, with the last error code.
    Dead(FailureReason, Option<&'a str>),
}

fn keep(
    connection: &Connection,
    id: Uuid,
    progress: &Progress,
    next: Next<'_>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let (due_at, provider, dead_at, reason, error_code) = match next {
        Next::Due(at, provider) => (Some(at), provider, None, None, None),
        Next::Dead(reason, error_code) => (None, None, Some(now), Some(reason), error_code),
    };
    connection
        .prepare_cached(include_str!("../../sql/outbox/settle.sqlite.sql"))?
        .execute(params![
            id,
            due_at.map(Timestamp::as_micros),
            dead_at.map(Timestamp::as_micros),
            progress.attempts,
            progress.counted,
            progress.rate_limited_in_a_row,
            progress.panics,
            progress.unsure,
            reason.map(FailureReason::as_str),
            error_code,
            provider.map(ProviderName::as_str),
            progress.not_taken,
            progress.lost,
        ])?;
    Ok(())
}

/// The subject of an event that says why a message failed.
fn failed(
    id: Uuid,
    conversation_id: ConversationId,
    reason: FailureReason,
    error_code: Option<&str>,
) -> EventSubject {
    EventSubject::Message {
        message_id: id.into(),
        conversation_id,
        reason: Some(reason),
        error_code: error_code.map(ErrorCode::from_provider),
    }
}

/// An entry without a lease that can no longer be sent.
pub(super) struct Expired {
    dead_letter: DeadLetter,
    conversation_id: ConversationId,
    token: i64,
    progress: Progress,
    error_code: Option<String>,
}

impl Expired {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            dead_letter: DeadLetter {
                id: row.get::<_, Uuid>("message_id")?.into(),
                provider: rows::word(row, "provider")?,
                channel: rows::word(row, "channel")?,
                reason: rows::word(row, "reason")?,
                lease_expired: row.get("lease_expired")?,
            },
            conversation_id: rows::conversation_id(row.get("conversation_id")?)?,
            token: row.get("lease_token")?,
            progress: read_progress(row)?,
            error_code: row.get("error_code")?,
        })
    }

    pub(super) fn dead_letter(
        self,
        connection: &Connection,
        now: Timestamp,
        events: &mut NewEvents,
    ) -> rusqlite::Result<DeadLetter> {
        let Self {
            dead_letter,
            conversation_id,
            token,
            mut progress,
            mut error_code,
        } = self;
        let id = dead_letter.id.as_uuid();
        if dead_letter.lease_expired {
            record_expired(connection, id, token, &dead_letter.provider, &mut progress, now)?;
            error_code = Some(LEASE_EXPIRED.to_owned());
        }
        let (reason, error_code) = (dead_letter.reason, error_code.as_deref());
        keep(connection, id, &progress, Next::Dead(reason, error_code), now)?;
        events.push(
            EventType::MessageFailed,
            failed(id, conversation_id, reason, error_code),
        );
        Ok(dead_letter)
    }
}
