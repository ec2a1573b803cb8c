-- Takes follow-ups that are due, and skips those that another node is taking. It always returns a row, for the time of the next.
with due as (
    select message_id, attempt, place
    from follow_ups
    where coalesce(taken_until, due_at) <= now()
    order by coalesce(taken_until, due_at)
    limit $1
    for update skip locked
),
taken as (
    update follow_ups
    set taken_until = now() + $2 * interval '1 millisecond'
    from due
    where follow_ups.message_id = due.message_id
        and follow_ups.attempt = due.attempt
        and follow_ups.place = due.place
    returning follow_ups.*
)
select
    taken.*,
    (
        select (extract(epoch from min(coalesce(taken_until, due_at)) - now()) * 1000)::bigint
        from follow_ups
        where coalesce(taken_until, due_at) > now()
    ) as next_in_ms
from (select) as always
left join taken on true
order by taken.due_at, taken.message_id, taken.attempt, taken.place
