select
    id, url, types, payload, description, secret, previous_secret, previous_secret_until, enabled, disabled_reason, created_at,
    cursor, replay_until, delivered_total, last_delivered_at, failing_since
from webhook_endpoints
order by created_at, id
