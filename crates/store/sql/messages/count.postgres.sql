-- Counts no further than $4.
select count(*)
from (
    select 1
    from messages_with_status
    where ($1::text is null or status = $1)
        and ($2::text is null or channel = $2)
        and ($3::text is null or provider = $3)
    limit $4
) as counted
