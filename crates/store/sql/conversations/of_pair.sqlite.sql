-- In the order of the key.
select id, message_count from conversations where participant_a = ?1 and participant_b = ?2
