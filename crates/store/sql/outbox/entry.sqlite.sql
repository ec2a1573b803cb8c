select
    provider, channel, lease_token, leased_until, dead_at, attempts, lost, counted, rate_limited_in_a_row, panics, not_taken, unsure
from outbox
where message_id = ?1
