-- Makes the failed deliveries pending, and takes the lease away.
with changed as (
    update webhook_endpoints set lease_token = lease_token + 1, leased_until = null where id = $1 returning *
),
due as (
    update webhook_deliveries
    set status = 'pending', due_at = now(), attempts = '[]'
    where endpoint_id = $1 and status = 'failed'
)
select * from changed
