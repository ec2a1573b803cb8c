-- Counts entries in the states $1, up to $2.
select count(*) as entries
from unnest($1::text[]) as wanted (state)
cross join lateral (
    select
    from outbox
    where (state, channel, provider) >= (wanted.state, '', '') and (outbox.state) <= (wanted.state)
    order by state, channel, provider
    limit $2
) as entry
