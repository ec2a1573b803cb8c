insert into messages (
    id, conversation_id, sequence, direction, channel, sender, recipient, from_participant, to_participant, subject, body,
    attachments, metadata, timestamp, processed_at, send_at, expires_at, provider
)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
