update attempts
set late_outcome = ?4, provider_message_id = ?5
where message_id = ?1 and lease_token = ?2 and number = ?3 and outcome = 'unknown' and late_outcome is null
