-- Puts the cursor back to $2, unless it is there already, and takes the lease away.
update webhook_endpoints
set
    cursor = least(cursor, $2),
    replay_until = case when $2 < cursor then greatest(replay_until, cursor) else replay_until end,
    lease_token = lease_token + 1,
    leased_until = null
where id = $1
returning *
