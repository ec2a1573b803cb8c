-- Deletes the entry of a message that no provider has taken or is taking. As many attempts as the locked entry has counted
-- must be visible, and all must have failed for certain: otherwise the message was tried since the statement began.
with entry as materialized (
    select message_id, conversation_id, attempts
    from outbox
    where message_id = $1 and dead_at is null and leased_until is null
    for update
),
certain as materialized (
    select message_id, conversation_id
    from entry
    where attempts = (
        select count(*) from attempts where message_id = $1 and outcome not in ('timeout', 'unknown')
    )
),
taken as (
    delete from outbox
    where message_id = any(array(select message_id from certain))
),
canceled as (
    update messages
    set resolution = 'canceled'
    where id = any(array(select message_id from certain))
),
logged as (
    insert into event_batches (types, subject_ids, conversation_ids)
    select array['message.canceled'], array[message_id], array[conversation_id]
    from certain
)
select from certain
