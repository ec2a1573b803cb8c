-- Takes the lease away, so that the holder reads the endpoint again.
update webhook_endpoints
set url = ?2, types = ?3, payload = ?4, description = ?5, secret = ?6, previous_secret = ?7, previous_secret_until = ?8,
    enabled = ?9, disabled_reason = ?10, cursor = ?11, replay_until = ?12, failing_since = ?13,
    lease_token = lease_token + 1, leased_until = null
where id = ?1
