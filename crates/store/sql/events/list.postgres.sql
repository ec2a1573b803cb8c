-- Up to $2 events after the position $1, with the start of the log; one row without an event if there is none.
select log.start_position, event.*
from event_log as log
left join lateral (
    select
        batch.last_position - cardinality(batch.subject_ids) + place as position,
        batch.at, coalesce(type, batch.types[1]) as type, subject_id, conversation_id, reason, error_code
    from (
        select * from event_batches where last_position > $1 order by last_position limit $2
    ) as batch
    cross join lateral unnest(
        batch.types, batch.subject_ids, batch.conversation_ids, batch.reasons, batch.error_codes
    ) with ordinality as event (type, subject_id, conversation_id, reason, error_code, place)
    -- The first of these rows may have events before the position.
    where batch.last_position - cardinality(batch.subject_ids) + place > $1
    order by batch.last_position, place
    limit $2
) as event on true
order by event.position
