-- ?3 is now, ?5 the number of successes, ?6 whether a call failed after the last one, and ?8 why the endpoint is disabled.
update webhook_endpoints
set cursor = max(cursor, ?4),
    replay_until = iif(max(cursor, ?4) >= replay_until, null, replay_until),
    delivered_total = delivered_total + ?5,
    last_delivered_at = iif(?5 > 0, ?3, last_delivered_at),
    failing_since = case
        when ?6 and ?5 > 0 then ?3
        when ?6 then coalesce(failing_since, ?3)
        when ?5 > 0 then null
        else failing_since
    end,
    enabled = ?8 is null,
    disabled_reason = ?8,
    leased_until = iif(?8 is null, ?7, null)
where id = ?1 and lease_token = ?2 and leased_until is not null
