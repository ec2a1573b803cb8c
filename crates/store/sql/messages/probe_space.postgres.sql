-- Stores a message as an accept does, to be rolled back. Its random body is too large for the free space of a page, so it
-- needs new pages, which a full disk lacks. Its ids differ each time: a node that vanishes before the rollback keeps a lock
-- on them until the server notices, and other probes would wait for it.
insert into messages (
    id, direction, channel, sender, recipient, from_participant, to_participant, body, timestamp, processed_at, provider
)
select
    gen_random_uuid(), 'outbound', 'sms', '', '', '', '', string_agg(md5(random()::text), ''), now(), now(),
    ''
from generate_series(1, 1000);
insert into outbox (message_id, conversation_id, provider, channel, due_at, lease_token, deadline_at)
values (gen_random_uuid(), 0, '', 'sms', now(), 0, now());
insert into event_batches (types, subject_ids) values ('{}', '{}');
insert into idempotency_keys (key, fingerprint, message_id)
values (gen_random_uuid()::text, '', gen_random_uuid());
