-- Stores a message as an accept does, to be rolled back. Its body is too large, and too random, for the free space of a page:
-- it needs new ones, which a full disk has not. Its ids are others each time: a node that vanishes before it rolls back keeps a lock
-- on them for as long as the server takes it to be there, and the probes of all nodes would wait for that.
insert into messages (id, direction, channel, sender, recipient, body, timestamp, processed_at, provider)
select
    gen_random_uuid(), 'outbound', 'sms', '', '', string_agg(md5(random()::text), ''), now(), now(),
    ''
from generate_series(1, 1000);
insert into outbox (message_id, provider, channel, due_at, lease_token, deadline_at)
values (gen_random_uuid(), '', 'sms', now(), 0, now());
insert into idempotency_keys (key, fingerprint, message_id)
values (gen_random_uuid()::text, '', gen_random_uuid());
