-- As messages/list_by_kind, of the messages whose status ($9) follows from an outbox entry, filtered by channel ($7) and
-- provider ($8), along outbox_by_state. Whether a delayed entry is scheduled or pending depends on the time: up to $10 of the
-- status are read along outbox_delayed and sorted; if there are more, they are found often enough on the way along
-- outbox_by_state.
with recursive delayed as materialized (
    select message_id
    from outbox
    where state = 'delayed'
        and ($9::text = 'scheduled' and due_at > now() or $9::text = 'pending' and due_at <= now())
    order by due_at
    limit $10::bigint + 1
),
existing (state, channel, provider) as (
    -- One step along the index for each provider of a channel, not for each entry.
    select wanted.state, next.channel, next.provider
    from (
        select case $9 when 'failed' then 'dead' when 'pending' then 'pending' end collate "C"
        union all
        select 'delayed' collate "C" where (select count(*) from delayed) > $10
    ) as wanted (state)
    cross join lateral (
        select state, channel, provider
        from outbox
        where (outbox.state, channel, provider) >= (wanted.state, '', '')
        order by outbox.state, channel, provider
        limit 1
    ) as next
    where next.state = wanted.state
    union all
    select next.*
    from existing
    cross join lateral (
        select state, channel, provider
        from outbox
        where (state, channel, provider) > (existing.state, existing.channel, existing.provider)
        order by state, channel, provider
        limit 1
    ) as next
    where next.state = existing.state
),
kinds as (
    select * from existing where coalesce(channel = $7, true) and coalesce(provider = $8, true)
),
few as materialized (
    select entry.message_id as id
    from delayed
    cross join lateral (select * from outbox where message_id = delayed.message_id limit 1) as entry
    where (select count(*) from delayed) <= $10
        and entry.message_id >= $6
        and coalesce(channel = $7, true) and coalesce(provider = $8, true)
),
counted as (
    -- Counts up to $4.
    select count(*) as total
    from (
        select from few
        union all
        select
        from kinds
        cross join lateral (
            select
            from outbox
            where state = kinds.state and channel = kinds.channel and provider = kinds.provider and message_id >= $6
                and (kinds.state <> 'delayed' or (due_at > now()) = ($9 = 'scheduled'))
            order by message_id desc nulls last
            limit $4
        ) as one
        limit $4
    ) as found
),
chosen as (
    select id, row_number() over (order by id desc) as place
    from (
        select id
        from (
            select id from few where id < $5
            union all
            select one.id
            from kinds
            cross join lateral (
                select message_id as id
                from outbox
                where state = kinds.state and channel = kinds.channel and provider = kinds.provider
                    and message_id < $5 and message_id >= $6
                    and (kinds.state <> 'delayed' or (due_at > now()) = ($9 = 'scheduled'))
                order by message_id desc nulls last
                limit $1::bigint + 1 + $3
            ) as one
        ) as found
        order by id desc
        limit $1::bigint + 1 offset $3
    ) as newest
)
