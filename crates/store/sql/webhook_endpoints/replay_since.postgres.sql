-- As replay, from before the first event since $2. Positions are almost in the order of time: the first of the oldest batches
-- is the first of all.
with since as (
    select min(last_position - cardinality(subject_ids)) as cursor
    from (
        select last_position, subject_ids from event_batches
        where at >= $2 and last_position is not null
        order by at
        limit 1000
    ) as oldest
),
changed as (
    update webhook_endpoints
    set
        cursor = least(webhook_endpoints.cursor, since.cursor),
        replay_until = case
            when since.cursor < webhook_endpoints.cursor then greatest(replay_until, webhook_endpoints.cursor)
            else replay_until
        end,
        lease_token = lease_token + 1,
        leased_until = null
    from since
    where id = $1
    returning webhook_endpoints.*
),
due as (
    update webhook_deliveries
    set status = 'pending', due_at = now(), attempts = '[]'
    from since
    where endpoint_id = $1 and status = 'failed' and event_id > since.cursor
)
select * from changed
