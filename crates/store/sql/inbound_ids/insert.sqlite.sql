insert into inbound_ids (provider, provider_message_id, from_participant, to_participant, message_id, payload)
values (?1, ?2, ?3, ?4, ?5, ?6)
