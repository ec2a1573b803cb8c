insert into receipts (provider, provider_message_id, named_message_id, status, error_code, at, received_at)
values ($1, $2, $3, $4, $5, $6, $7)
returning id
