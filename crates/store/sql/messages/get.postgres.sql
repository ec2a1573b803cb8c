-- The messages $1, each with its attempts and its latest $2 receipts: as many rows as it has of what it has more of, and at
-- least one. Only the first row has the content. One statement reads it all, so it is one snapshot.
select
    message.id, conversation_id, sequence, direction, channel, sender, recipient,
    case when first then subject end as subject,
    case when first then body else '' end as body,
    case when first then attachments::text end as attachments,
    case when first then metadata::text end as metadata,
    timestamp, processed_at, send_at, expires_at, status, message.provider, failure_reason, failure_code,
    delivery_status, delivery_error_code, delivery_at, delivery_contradicted,
    due_at, due_at <= now() as due, leased_until is not null as leased,
    detail.*
from unnest($1::uuid[]) as wanted (id)
cross join lateral (select * from messages_with_status where id = wanted.id limit 1) as message
left join lateral (
    select
        number, attempt.provider as attempt_provider, outcome, attempt.error_code, occurred_at, latency_ms, late_outcome,
        attempt.provider_message_id, place,
        receipt.id as receipt_id, receipt.provider as receipt_provider,
        receipt.provider_message_id as receipt_provider_message_id, named_message_id, receipt.status as receipt_status,
        receipt.error_code as receipt_error_code, receipt.at as receipt_at, received_at
    from (
        select *, row_number() over (order by number) as place from attempts where message_id = wanted.id
    ) as attempt
    full join (
        select *, row_number() over (order by id) as place
        from (select * from receipts where message_id = wanted.id order by id desc limit $2) as latest
    ) as receipt using (place)
) as detail on true
cross join lateral (select place is null or place = 1) as content (first)
order by message.id, place
