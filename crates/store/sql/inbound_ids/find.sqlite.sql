-- The message with this provider message id and participants, and whether its content differs from what is given now.
select
    messages.id, messages.conversation_id,
    messages.channel is not ?5 or subject is not ?6 or body is not ?7 or attachments is not ?8 as differs
from inbound_ids
join messages on messages.id = inbound_ids.message_id
where inbound_ids.provider = ?1 and provider_message_id = ?2
    and inbound_ids.from_participant = ?3 and inbound_ids.to_participant = ?4
