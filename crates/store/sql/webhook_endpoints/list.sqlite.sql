select
    id, url, types, payload, description, secret, previous_secrets, enabled, disabled_reason, created_at,
    cursor, replay_until, delivered_total, last_delivered_at, failing_since
from webhook_endpoints
order by created_at, id
