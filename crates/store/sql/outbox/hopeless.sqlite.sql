-- ?2 is a JSON array of the providers that are served here.
with recursive queues (provider) as (
    -- The providers that have entries: one step along the index for each, however many entries there are.
    select min(provider) from outbox where dead_at is null
    union all
    select (select min(provider) from outbox where dead_at is null and provider > queues.provider)
    from queues
    where queues.provider is not null
)
select
    message_id, outbox.provider, channel,
    case when outbox.provider in (select value from json_each(?2)) then 'deadline' else 'no_provider' end as reason,
    lease_token, attempts, counted, rate_limited_in_a_row, panics,
    leased_until is not null as vanished,
    (select error_code from attempts where message_id = outbox.message_id order by number desc limit 1) as error_code
from outbox
where message_id in (
        select message_id from outbox where dead_at is null and deadline_at <= ?1
        union all
        select message_id
        from outbox
        where dead_at is null
            and provider in (
                select provider from queues
                where provider is not null and provider not in (select value from json_each(?2))
            )
    )
    and dead_at is null
    and (leased_until is null or leased_until <= ?1)
order by message_id
limit ?3
