insert into inbound_ids (provider, provider_message_id, message_id, payload)
values (?1, ?2, ?3, ?4)

