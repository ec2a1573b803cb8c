insert into conversations (channel, participant_a, participant_b, message_count, last_activity_at, created_at)
values (?1, ?2, ?3, 1, min(?4, ?5), ?5)
on conflict (participant_a, participant_b, channel) do update set
    message_count = message_count + 1,
    last_activity_at = max(last_activity_at, excluded.last_activity_at)
returning id, message_count
