-- Takes the lease away, so that the holder reads the endpoint again.
update webhook_endpoints
set url = ?2, types = ?3, payload = ?4, description = ?5, secret = ?6, previous_secrets = ?7,
    enabled = ?8, disabled_reason = ?9, cursor = ?10, replay_until = ?11, failing_since = ?12,
    lease_token = lease_token + 1, leased_until = null
where id = ?1
