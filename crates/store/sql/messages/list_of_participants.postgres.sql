-- As list_by_kind, filtered also by the participants ($12, $13) and the conversation ($14). Three parts together have all
-- messages that match, each once:
-- - those of the direction $16 that have the participant $15 as our own, kind by kind along messages_by_own_participant;
-- - of the rest, those in the conversation $14, in those between $17 and $18 (in their order), and in those that have $15 outside
--   (of the other direction): all are read and sorted;
-- - of the rest, imported messages of the participants that have no conversation yet, unless a conversation is asked for.
-- (Ranges instead of equal columns, so that only one index has the order.)
with recursive existing (own_participant, provider, channel, direction, resolution) as (
    (
        select own_participant, provider, channel, direction, resolution
        from messages
        where own_participant >= $15
        order by own_participant, provider, channel, direction, resolution
        limit 1
    )
    union all
    select next.*
    from existing
    cross join lateral (
        select own_participant, provider, channel, direction, resolution
        from messages
        where (own_participant, provider, channel, direction, resolution)
            > (existing.own_participant, existing.provider, existing.channel, existing.direction, existing.resolution)
        order by own_participant, provider, channel, direction, resolution
        limit 1
    ) as next
    where existing.own_participant = $15
),
kinds as (
    select *
    from existing
    where own_participant = $15 and direction = $16
        and coalesce(channel = $7, true) and coalesce(provider = $8, true) and coalesce(direction = $9, true)
        and coalesce(resolution = $10, true)
),
found as materialized (
    select messages.id
    from (
        select $14::bigint
        union
        select id from conversations where participant_a = $17 and participant_b = $18
        union
        select id from conversations where participant_a = $15 and outside_a and coalesce($9 <> $16, true)
        union
        select id from conversations where participant_b = $15 and outside_b and coalesce($9 <> $16, true)
    ) as thread (conversation_id)
    cross join lateral (
        select *
        from messages
        where (conversation_id, timestamp, sequence) >= (thread.conversation_id, '-infinity', 0)
            and (conversation_id, timestamp, sequence) <= (thread.conversation_id, 'infinity', 9223372036854775807)
        order by conversation_id, timestamp, sequence
    ) as messages
    where id >= $6 and coalesce(from_participant = $12, true) and coalesce(to_participant = $13, true)
        and coalesce(channel = $7, true) and coalesce(provider = $8, true) and coalesce(direction = $9, true)
        and coalesce(resolution = $10, true)
        and coalesce(coalesce((select status from outbox_with_status where message_id = id), 'dispatched') = $11, true)
        and coalesce(not (own_participant = $15 and direction = $16), true)
    union all
    (
        select id
        from messages
        where $14::bigint is null and conversation_id is null
            and from_participant >= $12 and from_participant <= $12 and coalesce(to_participant = $13, true) and id >= $6
            and coalesce(channel = $7, true) and coalesce(provider = $8, true) and coalesce(direction = $9, true)
            and coalesce(resolution = $10, true)
            and coalesce(coalesce((select status from outbox_with_status where message_id = id), 'dispatched') = $11, true)
            and coalesce(not (own_participant = $15 and direction = $16), true)
        order by from_participant, to_participant
    )
    union all
    (
        select id
        from messages
        where $14::bigint is null and conversation_id is null and $12::text is null
            and to_participant >= $13 and to_participant <= $13 and id >= $6
            and coalesce(channel = $7, true) and coalesce(provider = $8, true) and coalesce(direction = $9, true)
            and coalesce(resolution = $10, true)
            and coalesce(coalesce((select status from outbox_with_status where message_id = id), 'dispatched') = $11, true)
            and coalesce(not (own_participant = $15 and direction = $16), true)
        order by to_participant
    )
),
-- Usually the outbox is short. Then it is read once, instead of once for each message that is counted.
entries as materialized (select message_id from outbox limit 3001),
counted as (
    -- Counts up to $4, twice.
    select (select count(*) from (select from found limit $4) as found) + count(*) as total
    from (
        select
        from kinds
        cross join lateral (
            select
            from messages
            where own_participant = kinds.own_participant and provider = kinds.provider and channel = kinds.channel
                and direction = kinds.direction and resolution = kinds.resolution and id >= $6
                and case
                    when $11::text is null then true
                    when $11 = 'dispatched' and (select count(*) from entries) <= 3000 then id not in (select message_id from entries)
                    else coalesce((select status from outbox_with_status where message_id = messages.id), 'dispatched') = $11
                end
            order by id desc nulls last
            limit $4
        ) as one
        limit $4
    ) as walked
),
chosen as (
    select id, row_number() over (order by id desc) as place
    from (
        select one.id
        from kinds
        cross join lateral (
            select id
            from messages
            where own_participant = kinds.own_participant and provider = kinds.provider and channel = kinds.channel
                and direction = kinds.direction and resolution = kinds.resolution and id < $5 and id >= $6
                and coalesce(coalesce((select status from outbox_with_status where message_id = messages.id), 'dispatched') = $11, true)
            order by id desc nulls last
            limit $1::bigint + 1 + $3
        ) as one
        union all
        select id from found where id < $5
        order by id desc
        limit $1::bigint + 1 offset $3
    ) as newest
)
