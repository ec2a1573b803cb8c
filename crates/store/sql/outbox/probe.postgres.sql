-- Counts entries in the states $1, up to $2.
select count(*) as entries
from unnest($1::text[]) as wanted (state)
cross join lateral (select from outbox where outbox.state = wanted.state limit $2) as entry
