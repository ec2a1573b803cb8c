-- Latest activity first. (?2, ?3) is the position to start after, or the highest there can be.
select id, channel, participant_a, participant_b, message_count, last_activity_at, created_at
from conversations
where (?1 is null or channel = ?1) and (last_activity_at, id) < (?2, ?3)
order by last_activity_at desc, id desc
limit ?4 offset ?5
