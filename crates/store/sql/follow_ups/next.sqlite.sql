-- When the earliest follow-up after ?1 can be taken.
select min(coalesce(taken_until, due_at)) from follow_ups where coalesce(taken_until, due_at) > ?1
