update outbox
set leased_until = ?2, lease_token = ?3, attempts = ?4, rate_limited_in_a_row = ?5, unsure = ?6
where message_id = ?1
