update outbox
set leased_until = ?2, lease_token = ?3, attempts = ?4, lost = ?5, rate_limited_in_a_row = ?6, unsure = ?7
where message_id = ?1
