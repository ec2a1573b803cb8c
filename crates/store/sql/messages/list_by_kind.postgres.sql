-- As list, filtered by channel ($7), provider ($8), direction ($9), resolution ($10) and, for statuses that depend on the
-- outbox, status ($11). Each matching kind of message is read in the order of the ids along messages_by_kind, and the kinds
-- are merged. (Nulls last, because only that index has this order, whatever the statistics are. Equal columns and not a range
-- of rows, because the scan of such a range goes on behind its end.)
with recursive existing (provider, channel, direction, resolution) as (
    -- One step along the index for each kind, not for each message.
    (
        select provider, channel, direction, resolution
        from messages
        where provider >= coalesce($8, '')
        order by provider, channel, direction, resolution
        limit 1
    )
    union all
    select next.*
    from existing
    cross join lateral (
        select provider, channel, direction, resolution
        from messages
        where (provider, channel, direction, resolution)
            > (existing.provider, existing.channel, existing.direction, existing.resolution)
        order by provider, channel, direction, resolution
        limit 1
    ) as next
    where coalesce(existing.provider = $8, true)
),
kinds as (
    select *
    from existing
    where coalesce(channel = $7, true) and coalesce(provider = $8, true) and coalesce(direction = $9, true)
        and coalesce(resolution = $10, true)
),
-- Usually the outbox is short. Then it is read once, instead of once for each message that is counted.
entries as materialized (select message_id from outbox limit 3001),
counted as (
    -- Counts up to $4. (A scalar subquery looks up each entry; for a join, the whole outbox may be read.)
    select count(*) as total
    from (
        select
        from kinds
        cross join lateral (
            select
            from messages
            where provider = kinds.provider and channel = kinds.channel and direction = kinds.direction
                and resolution = kinds.resolution and id >= $6
                and case
                    when $11::text is null then true
                    when $11 = 'dispatched' and (select count(*) from entries) <= 3000 then id not in (select message_id from entries)
                    else coalesce((select status from outbox_with_status where message_id = messages.id), 'dispatched') = $11
                end
            -- Newest first: messages that are not dispatched are mostly old dead letters.
            order by id desc nulls last
            limit $4
        ) as one
        limit $4
    ) as found
),
chosen as (
    select id, row_number() over (order by id desc) as place
    from (
        select one.id
        from kinds
        cross join lateral (
            select id
            from messages
            where provider = kinds.provider and channel = kinds.channel and direction = kinds.direction
                and resolution = kinds.resolution and id < $5 and id >= $6
                and coalesce(coalesce((select status from outbox_with_status where message_id = messages.id), 'dispatched') = $11, true)
            order by id desc nulls last
            limit $1::bigint + 1 + $3
        ) as one
        order by one.id desc
        limit $1::bigint + 1 offset $3
    ) as newest
)
