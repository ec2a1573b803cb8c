-- Counts no further than $4.
select count(*)
from (
    select 1
    from outbox
    join messages on messages.id = outbox.message_id
    where (dead_at is not null) = $1
        and ($2::text is null or outbox.channel = $2)
        and ($3::text is null or outbox.provider = $3)
    limit $4
) as counted
