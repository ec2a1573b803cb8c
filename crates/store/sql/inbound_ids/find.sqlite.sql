-- The message with this provider message id, and whether its content differs from what is given now.
select
    messages.id, messages.conversation_id,
    messages.channel is not ?3 or subject is not ?4 or body is not ?5 or attachments is not ?6 as differs
from inbound_ids
join messages on messages.id = inbound_ids.message_id
where inbound_ids.provider = ?1 and inbound_ids.provider_message_id = ?2
