-- As idempotency_keys/insert: repeats lose, and get no row back.
insert into receipts (provider, provider_message_id, message_id, payload)
select * from unnest($1::text[], $2::text[], $3::uuid[], $4::text[])
on conflict do nothing
returning message_id
