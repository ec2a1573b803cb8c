-- Latest activity first. (?2, ?3) is the position to start after, or the highest possible one. Each channel is read in its
-- own order, so that a channel with few conversations is listed quickly.
select * from (
    select id, channel, participant_a, participant_b, message_count, last_activity_at, created_at
    from conversations
    where channel = 'sms' and (?1 is null or ?1 = 'sms') and (last_activity_at, id) < (?2, ?3)
    order by last_activity_at desc, id desc
    limit ?4 + ?5
)
union all
select * from (
    select id, channel, participant_a, participant_b, message_count, last_activity_at, created_at
    from conversations
    where channel = 'email' and (?1 is null or ?1 = 'email') and (last_activity_at, id) < (?2, ?3)
    order by last_activity_at desc, id desc
    limit ?4 + ?5
)
order by last_activity_at desc, id desc
limit ?4 offset ?5
