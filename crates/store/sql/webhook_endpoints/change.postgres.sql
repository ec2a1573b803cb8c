-- Changes what is given and takes the lease away, so that its holder reads the endpoint again.
with changed as (
    update webhook_endpoints
    set
        url = coalesce($2, url),
        types = case when $3 then $4 else types end,
        payload = coalesce($5, payload),
        description = case when $6 then $7 else description end,
        enabled = coalesce($8, enabled),
        disabled_reason = case when $8 is null then disabled_reason end,
        failing_since = case when $8 is distinct from true then failing_since end,
        secret = coalesce($9, secret),
        previous_secret = case when $9 is null then previous_secret else secret end,
        previous_until = case when $9 is null then previous_until else now() + $10 * interval '1 millisecond' end,
        lease_token = lease_token + 1,
        leased_until = null
    where id = $1
    returning *
),
due as (
    -- Those that wait behind an earlier event have no due time.
    update webhook_deliveries
    set due_at = now()
    where $8 and endpoint_id = $1 and status = 'pending' and due_at is not null
)
select * from changed
