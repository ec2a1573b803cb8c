-- The providers that have entries: one step along the indexes for each provider, not for each entry.
with recursive pending (provider) as (
    select min(provider) from outbox where dead_at is null
    union all
    select (select min(provider) from outbox where dead_at is null and provider > pending.provider)
    from pending
    where provider is not null
),
channels (name) as (values ('sms'), ('mms'), ('email')),
dead (channel, provider) as (
    select name, (select min(provider) from outbox where dead_at is not null and channel = name) from channels
    union all
    select
        channel,
        (select min(provider) from outbox where dead_at is not null and channel = dead.channel and provider > dead.provider)
    from dead
    where provider is not null
)
select provider from pending where provider is not null
union
select provider from dead where provider is not null
order by provider
