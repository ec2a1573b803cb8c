-- The conversation $1, or those between $2 and $3 (in their order), and how many conversations each participant has, counted
-- up to $4.
select
    id, message_count, participant_a, participant_b,
    (
        select count(*)
        from (select from conversations where participant_a = found.participant_a limit $4) as as_a
    ) + (
        select count(*)
        from (select from conversations where participant_b = found.participant_a limit $4) as as_b
    ) as conversations_a,
    (
        select count(*)
        from (select from conversations where participant_a = found.participant_b limit $4) as as_a
    ) + (
        select count(*)
        from (select from conversations where participant_b = found.participant_b limit $4) as as_b
    ) as conversations_b
from (
    select * from conversations where id = $1
    union all
    select * from conversations where participant_a = $2 and participant_b = $3
) as found
