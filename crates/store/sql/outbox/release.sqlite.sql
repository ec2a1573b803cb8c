update outbox set leased_until = null where message_id = ?1 and lease_token = ?2 and leased_until is not null
