-- Finds the messages of requests: the one with the id that was minted for it, or the one of an earlier request with the same key
-- or provider message id.
with answers as materialized (
    select
        input.place,
        coalesce(own.id, keys.message_id, inbound_ids.message_id) as message_id,
        found.conversation_id,
        own.sequence,
        own.id is null and coalesce(keys.fingerprint <> input.fingerprint, false) as conflict,
        own.id is null and inbound_ids.message_id is not null
            and (found.channel, found.subject, found.body, found.attachments)
                is distinct from (input.channel, input.subject, input.body, input.attachments::jsonb) as differs
    from unnest(
        $1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
        $10::text[], $11::text[]
    ) with ordinality as input (
        id, key, fingerprint, provider, provider_message_id, from_participant, to_participant, channel, subject, body,
        attachments, place
    )
    left join messages as own on own.id = input.id
    left join idempotency_keys as keys on keys.key = input.key
    left join inbound_ids as inbound_ids
        on inbound_ids.provider = input.provider and inbound_ids.provider_message_id = input.provider_message_id
            and inbound_ids.from_participant = input.from_participant
            and inbound_ids.to_participant = input.to_participant
    join messages as found on found.id = coalesce(own.id, keys.message_id, inbound_ids.message_id)
),
-- After a restart, the server shows commits that its synchronous standby may lack. So this transaction writes, and its
-- commit waits for the standby like the commit of the message (docs/decisions/0012).
written as materialized (
    select pg_logical_emit_message(true, 'trunkline', '') from answers limit 1
)
select answers.* from answers cross join written
