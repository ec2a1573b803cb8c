-- As list, for one participant on either side. Each side has its own index.
select id, channel, participant_a, participant_b, message_count, last_activity_at, created_at
from conversations
where id in (
        select id from conversations where participant_a = ?6
        union all
        select id from conversations where participant_b = ?6
    )
    and (?1 is null or channel = ?1)
    and (last_activity_at, id) < (?2, ?3)
order by last_activity_at desc, id desc
limit ?4 offset ?5
