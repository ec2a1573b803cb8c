select 1 from attempts where message_id = ?1 and outcome in ('timeout', 'unknown')
