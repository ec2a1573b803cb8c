-- Counts up to ?2.
select count(*)
from (
    select 1
    from conversations
    where id in (
            select id from conversations where participant_a = ?3
            union all
            select id from conversations where participant_b = ?3
        )
        and (?1 is null or channel = ?1)
    limit ?2
) as counted
