select 1 from webhook_endpoints where id = ?1 and lease_token = ?2 and leased_until is not null
