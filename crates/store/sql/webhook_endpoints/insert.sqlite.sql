insert into webhook_endpoints (id, url, types, payload, description, secret, created_at, cursor)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
