insert into messages (
    id, conversation_id, sequence, direction, channel, sender, recipient, subject, body, attachments,
    timestamp, processed_at, provider
)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
