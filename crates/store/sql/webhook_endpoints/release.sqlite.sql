update webhook_endpoints set leased_until = null where id = ?1 and lease_token = ?2
