-- Those of the latest ?2 unmatched ones, received after ?1, that an attempt on record may match.
select id
from (
    select id, provider_message_id, named_message_id
    from receipts
    where message_id is null and received_at > ?1
    order by received_at desc
    limit ?2
) as unmatched
where exists (select 1 from attempts where attempts.provider_message_id = unmatched.provider_message_id)
    or exists (select 1 from attempts where message_id = named_message_id and outcome in ('success', 'timeout', 'unknown'))
order by id
