-- Notes the providers that a node serves, and the other providers that have entries. Their time without a serving node
-- continues, or starts again if no node looked for longer than $2 milliseconds.
with recursive queues as (
    -- The providers that have entries: one step along the index for each provider, not for each entry.
    (select provider from outbox where dead_at is null order by provider limit 1)
    union all
    select (
        select outbox.provider
        from outbox
        where dead_at is null and outbox.provider > queues.provider
        order by outbox.provider
        limit 1
    )
    from queues
    where queues.provider is not null
)
insert into providers as known (provider, unserved_since, observed_at)
select provider, now(), now()
from (
    select unnest($1::text[]) as provider
    union
    select provider from queues where provider is not null
) as seen
-- All nodes lock the rows in one order.
order by provider collate "C"
on conflict (provider) do update set
    unserved_since = case
        when known.provider = any($1) or now() - known.observed_at > $2::float8 * interval '1 millisecond' then now()
        else known.unserved_since
    end,
    observed_at = now()
