-- A message with a row for each attempt, or one row without attempts. One statement reads it all, so it is one snapshot.
-- Only the first row has the content.
select
    id, conversation_id, sequence, direction, channel, sender, recipient,
    case when first is not false then subject end as subject,
    case when first is not false then body else '' end as body,
    case when first is not false then attachments::text end as attachments,
    case when first is not false then metadata::text end as metadata,
    timestamp, processed_at, send_at, expires_at, status, message.provider, failure_reason, failure_code,
    delivery_status, delivery_error_code, delivery_at, delivery_contradicted,
    due_at, due_at <= now() as due, leased_until is not null as leased,
    number, attempt.provider as attempt_provider, outcome, error_code, occurred_at, latency_ms, late_outcome,
    provider_message_id
from messages_with_status as message
left join (
    select *, row_number() over (order by number) = 1 as first
    from attempts
    where message_id = $1
) as attempt on true
where id = $1
order by number
