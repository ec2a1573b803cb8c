insert into messages (
    id, conversation_id, sequence, direction, channel, sender, recipient, subject, body, attachments,
    timestamp, processed_at, provider
)
select
    id, conversation_id, sequence, direction, channel, sender, recipient, subject, body, attachments::jsonb,
    timestamp, processed_at, provider
from unnest(
    $1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::timestamptz[], $12::timestamptz[], $13::text[]
) as input (
    id, conversation_id, sequence, direction, channel, sender, recipient, subject, body, attachments,
    timestamp, processed_at, provider
)
