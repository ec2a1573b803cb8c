-- Buries entries that nobody holds and that can no longer be sent. The last error stays with the message.
with hopeless as (
    select message_id, provider, case when provider = any($1) then 'deadline' else 'no_provider' end as reason
    from outbox
    where dead_at is null and leased_until is null and (deadline_at <= now() or provider <> all($1))
    limit $2
    for update skip locked
),
buried as (
    update outbox set dead_at = now() from hopeless where outbox.message_id = hopeless.message_id
),
failed as (
    update messages
    set
        status = 'failed',
        failure_reason = reason,
        failure_code = (
            select error_code from attempts where message_id = messages.id order by number desc limit 1
        )
    from hopeless
    where messages.id = hopeless.message_id
)
select message_id, provider, reason from hopeless order by message_id
