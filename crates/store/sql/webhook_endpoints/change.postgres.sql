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
        (previous_secrets, previous_until) = (
            select coalesce(array_agg(kept.secret order by place), '{}'), coalesce(array_agg(until order by place), '{}')
            from (
                select *
                from unnest(
                    case when $9 is null then previous_secrets else array_prepend(webhook_endpoints.secret, previous_secrets) end,
                    case
                        when $9 is null then previous_until
                        else array_prepend(now() + $10 * interval '1 millisecond', previous_until)
                    end
                ) with ordinality as previous (secret, until, place)
                where $9 is null or until > now()
                order by place
                limit $11
            ) as kept
        ),
        lease_token = lease_token + 1,
        leased_until = null
    where id = $1
    returning *
),
due as (
    -- Fresh attempts: the time while it was disabled does not count. Those that wait behind an earlier event have no due time.
    update webhook_deliveries
    set due_at = case when due_at is not null then now() end, attempts = '[]'
    where $8 and endpoint_id = $1 and status = 'pending' and (due_at is not null or attempts::text <> '[]')
)
select * from changed
