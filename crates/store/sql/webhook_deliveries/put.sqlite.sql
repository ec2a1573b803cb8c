insert into webhook_deliveries (endpoint_id, event_id, event, at, status, due_at, attempts)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
on conflict (endpoint_id, event_id) do update
set status = excluded.status, due_at = excluded.due_at, attempts = excluded.attempts
