-- ?2 is a JSON array of the providers that are served here.
select
    message_id, provider,
    case when provider in (select value from json_each(?2)) then 'deadline' else 'no_provider' end as reason,
    lease_token, attempts, counted, rate_limited_in_a_row, panics,
    leased_until is not null as vanished,
    (select error_code from attempts where message_id = outbox.message_id order by number desc limit 1) as error_code
from outbox
where dead_at is null
    and (leased_until is null or leased_until <= ?1)
    and (deadline_at <= ?1 or provider not in (select value from json_each(?2)))
order by message_id
limit ?3
