-- On either side.
select id, message_count from conversations where participant_a = ?1
union all
select id, message_count from conversations where participant_b = ?1 and participant_a <> ?1
