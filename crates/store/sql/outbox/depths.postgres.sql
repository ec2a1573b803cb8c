-- Counts up to $1 pending and $1 dead entries of each provider. The oldest due entries come first, so the oldest one is
-- always among them.
with recursive pending (provider) as (
    (select provider from outbox where dead_at is null order by provider limit 1)
    union all
    select (
        select outbox.provider
        from outbox
        where dead_at is null and outbox.provider > pending.provider
        order by provider
        limit 1
    )
    from pending
    where provider is not null
),
dead (channel, provider) as (
    select
        wanted.channel,
        (
            select outbox.provider
            from outbox
            where state = 'dead' and outbox.channel = wanted.channel
            order by state, outbox.channel, outbox.provider
            limit 1
        )
    from unnest(array['sms', 'mms', 'email']) as wanted (channel)
    union all
    select
        dead.channel,
        (
            select outbox.provider
            from outbox
            where state = 'dead' and outbox.channel = dead.channel and outbox.provider > dead.provider
            order by state, outbox.channel, outbox.provider
            limit 1
        )
    from dead
    where dead.provider is not null
)
select provider, waiting, leased, dead_counted.count as dead, oldest_ms
from (select provider from pending union select provider from dead) as queues
cross join lateral (
    select
        count(*) filter (where leased_until is null) as waiting,
        count(*) filter (where leased_until is not null) as leased,
        greatest(0, coalesce(extract(epoch from now() - min(due_at)) * 1000, 0))::bigint as oldest_ms
    from (
        select leased_until, due_at
        from outbox
        where provider = queues.provider and dead_at is null
        order by coalesce(leased_until, due_at)
        limit $1
    ) as counted
) as pending_counted
cross join lateral (
    select count(*)
    from (
        select
        from unnest(array['sms', 'mms', 'email']) as wanted (channel)
        cross join lateral (
            select
            from outbox
            where state = 'dead' and outbox.channel = wanted.channel and provider = queues.provider
            limit $1
        ) as entry
        limit $1
    ) as counted
) as dead_counted
where provider is not null
order by provider
