insert into outbox (message_id, conversation_id, provider, channel, due_at, delayed, leased_until, lease_token, deadline_at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
