-- Stores past messages without conversation and outbox entry. Repeats, also inside the batch, are left out.
with input as (
    select *
    from unnest(
        $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
        $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[]
    ) with ordinality as input (
        id, direction, channel, sender, recipient, subject, body, attachments,
        timestamp, processed_at, provider, provider_message_id, from_participant, to_participant, payload, metadata, place
    )
),
new_inbound_ids as (
    insert into inbound_ids (provider, provider_message_id, from_participant, to_participant, message_id, payload)
    select distinct on (
            provider collate "C", provider_message_id collate "C", from_participant collate "C", to_participant collate "C"
        )
        provider, provider_message_id, from_participant, to_participant, id, payload
    from input
    order by
        provider collate "C", provider_message_id collate "C", from_participant collate "C", to_participant collate "C",
        place
    on conflict do nothing
    returning message_id
)
insert into messages (
    id, direction, channel, sender, recipient, from_participant, to_participant, subject, body, attachments, metadata,
    timestamp, processed_at, provider
)
select
    id, direction, channel, sender, recipient, from_participant, to_participant, subject, body, attachments::jsonb,
    metadata::jsonb, timestamp, processed_at, provider
from input
where id in (select message_id from new_inbound_ids)
returning id
