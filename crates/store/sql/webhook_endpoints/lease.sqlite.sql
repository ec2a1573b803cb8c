update webhook_endpoints set leased_until = ?2, lease_token = ?3 where id = ?1
