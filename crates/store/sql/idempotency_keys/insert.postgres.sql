-- Repeats of earlier requests lose here: they get no row back. The keys come in their order, so that two nodes that accept at
-- the same time wait for each other, but never in a circle.
insert into idempotency_keys (key, fingerprint, message_id)
select * from unnest($1::text[], $2::bytea[], $3::uuid[])
on conflict do nothing
returning message_id
