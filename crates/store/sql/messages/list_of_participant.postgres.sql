-- As list_by_kind, of the sender $12 and of the recipient $13 (each may be null), along messages_by_sender and
-- messages_by_recipient. The other participant ($14, $15) and the conversation ($16) are filters. The total is $17 if it is
-- known.
with recursive existing (side, participant, provider, channel, direction, resolution) as (
    (
        select 'from', from_participant, provider, channel, direction, resolution
        from messages
        where from_participant >= $12
        order by from_participant, provider, channel, direction, resolution
        limit 1
    )
    union all
    (
        select 'to', to_participant, provider, channel, direction, resolution
        from messages
        where to_participant >= $13
        order by to_participant, provider, channel, direction, resolution
        limit 1
    )
    union all
    select side, next.*
    from existing
    cross join lateral (
        (
            select from_participant, provider, channel, direction, resolution
            from messages
            where side = 'from' and (from_participant, provider, channel, direction, resolution)
                > (participant, existing.provider, existing.channel, existing.direction, existing.resolution)
            order by from_participant, provider, channel, direction, resolution
            limit 1
        )
        union all
        (
            select to_participant, provider, channel, direction, resolution
            from messages
            where side = 'to' and (to_participant, provider, channel, direction, resolution)
                > (participant, existing.provider, existing.channel, existing.direction, existing.resolution)
            order by to_participant, provider, channel, direction, resolution
            limit 1
        )
    ) as next
    where participant = case side when 'from' then $12 else $13 end
),
kinds as (
    select *
    from existing
    where participant = case side when 'from' then $12 else $13 end
        and coalesce(channel = $7, true) and coalesce(provider = $8, true) and coalesce(direction = $9, true)
        and coalesce(resolution = $10, true)
),
-- Usually the outbox is short. Then it is read once, instead of once for each message that is counted.
entries as materialized (select message_id from outbox limit 3001),
counted as (
    -- Counts up to $4.
    select coalesce($17::bigint, count(*)) as total
    from (
        select
        from kinds
        cross join lateral (
            (
                select
                from messages
                where side = 'from'
                    and from_participant = participant and provider = kinds.provider and channel = kinds.channel
                    and direction = kinds.direction and resolution = kinds.resolution and id >= $6
                    and coalesce(to_participant = $15, true) and coalesce(coalesce(conversation_id, 0) = $16, true)
                    and case
                        when $11::text is null then true
                        when $11 = 'dispatched' and (select count(*) from entries) <= 3000 then id not in (select message_id from entries)
                        else coalesce((select status from outbox_with_status where message_id = messages.id), 'dispatched') = $11
                    end
                order by id desc nulls last
                limit $4
            )
            union all
            (
                select
                from messages
                where side = 'to'
                    and to_participant = participant and provider = kinds.provider and channel = kinds.channel
                    and direction = kinds.direction and resolution = kinds.resolution and id >= $6
                    and coalesce(from_participant = $14, true) and coalesce(coalesce(conversation_id, 0) = $16, true)
                    and case
                        when $11::text is null then true
                        when $11 = 'dispatched' and (select count(*) from entries) <= 3000 then id not in (select message_id from entries)
                        else coalesce((select status from outbox_with_status where message_id = messages.id), 'dispatched') = $11
                    end
                order by id desc nulls last
                limit $4
            )
        ) as one
        where $17::bigint is null
        limit $4
    ) as found
),
chosen as (
    select id, row_number() over (order by id desc) as place
    from (
        select one.id
        from kinds
        cross join lateral (
            (
                select id
                from messages
                where side = 'from'
                    and from_participant = participant and provider = kinds.provider and channel = kinds.channel
                    and direction = kinds.direction and resolution = kinds.resolution and id < $5 and id >= $6
                    and coalesce(to_participant = $15, true) and coalesce(coalesce(conversation_id, 0) = $16, true)
                    and coalesce(coalesce((select status from outbox_with_status where message_id = messages.id), 'dispatched') = $11, true)
                order by id desc nulls last
                limit $1::bigint + 1 + $3
            )
            union all
            (
                select id
                from messages
                where side = 'to'
                    and to_participant = participant and provider = kinds.provider and channel = kinds.channel
                    and direction = kinds.direction and resolution = kinds.resolution and id < $5 and id >= $6
                    and coalesce(from_participant = $14, true) and coalesce(coalesce(conversation_id, 0) = $16, true)
                    and coalesce(coalesce((select status from outbox_with_status where message_id = messages.id), 'dispatched') = $11, true)
                order by id desc nulls last
                limit $1::bigint + 1 + $3
            )
        ) as one
        order by one.id desc
        limit $1::bigint + 1 offset $3
    ) as newest
)
