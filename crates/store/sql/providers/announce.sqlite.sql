-- ?2 is a JSON array of the providers that this node serves.
with recursive queues (provider) as (
    -- The providers that have entries: one step along the index for each provider, not for each entry.
    select min(provider) from outbox where dead_at is null
    union all
    select (select min(provider) from outbox where dead_at is null and provider > queues.provider)
    from queues
    where queues.provider is not null
)
insert into providers (provider, unserved_since, observed_at)
select provider, ?1, ?1
from (
    select value as provider from json_each(?2)
    union
    select provider from queues where provider is not null
)
where true
on conflict (provider) do update set
    unserved_since = case
        when provider in (select value from json_each(?2)) or ?1 - observed_at > ?3 then ?1
        else unserved_since
    end,
    observed_at = ?1
