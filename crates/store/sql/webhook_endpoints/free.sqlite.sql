-- Up to ?2 enabled endpoints that no node holds.
select
    id, url, types, payload, description, secret, previous_secrets, enabled, disabled_reason, created_at,
    cursor, replay_until, delivered_total, last_delivered_at, failing_since,
    lease_token
from webhook_endpoints
where enabled and (leased_until is null or leased_until <= ?1)
order by created_at, id
limit ?2
