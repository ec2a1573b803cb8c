-- Puts the cursor back to $2, unless it is there already, makes the failed deliveries after it pending, and takes the lease away.
with changed as (
    update webhook_endpoints
    set
        cursor = least(cursor, $2),
        replay_until = case when $2 < cursor then greatest(replay_until, cursor) else replay_until end,
        lease_token = lease_token + 1,
        leased_until = null
    where id = $1
    returning *
),
due as (
    update webhook_deliveries
    set status = 'pending', due_at = now(), attempts = '[]'
    where endpoint_id = $1 and status = 'failed' and event_id > $2
)
select * from changed
