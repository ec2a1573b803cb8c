insert into follow_ups
    (message_id, attempt, place, provider, provider_message_id, due_at, receipt_status, error_code, reply_body)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
