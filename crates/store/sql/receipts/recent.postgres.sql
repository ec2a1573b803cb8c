-- The latest $2 receipts before $3 that were not applied and were stored within the last $1 milliseconds, and whether an attempt
-- on record may match.
select
    id,
    exists (select from attempts where attempts.provider_message_id = unmatched.provider_message_id)
        or exists (
            select from attempts where message_id = named_message_id and outcome in ('success', 'timeout', 'unknown')
        ) as may_match
from (
    select id, provider_message_id, named_message_id
    from receipts
    where message_id is null and id < $3 and stored_at > now() - $1 * interval '1 millisecond'
    order by id desc
    limit $2
) as unmatched
