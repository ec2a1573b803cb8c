-- Stores a message as an accept does, to be rolled back. Its body is too large, and too random, for the free space of a page:
-- it needs new ones, which a full disk has not.
insert into messages (id, direction, channel, sender, recipient, body, timestamp, processed_at, provider)
select
    'ffffffff-ffff-7fff-bfff-ffffffffffff', 'outbound', 'sms', '', '', string_agg(md5(random()::text), ''), now(), now(),
    ''
from generate_series(1, 1000);
insert into outbox (message_id, provider, channel, due_at, lease_token, deadline_at)
values ('ffffffff-ffff-7fff-bfff-ffffffffffff', '', 'sms', now(), 0, now());
insert into idempotency_keys (key, fingerprint, message_id)
values ('ffffffff-ffff-7fff-bfff-ffffffffffff', '', 'ffffffff-ffff-7fff-bfff-ffffffffffff');
