-- ?2 is a JSON array of the providers that this node serves.
with unserved as (
    select provider
    from providers
    where provider not in (select value from json_each(?2)) and unserved_since <= ?1 - ?4 and observed_at >= ?1 - ?5
)
select
    message_id, conversation_id, outbox.provider, channel,
    case when outbox.provider in (select provider from unserved) then 'no_provider' else 'deadline' end as reason,
    lease_token, attempts, lost, counted, rate_limited_in_a_row, panics, not_taken, unsure,
    leased_until is not null as lease_expired,
    (select error_code from attempts where message_id = outbox.message_id order by number desc limit 1) as error_code
from outbox
where message_id in (
        select message_id from outbox where dead_at is null and deadline_at <= ?1
        union all
        select message_id
        from outbox
        where dead_at is null
            and provider in (select provider from unserved)
            and coalesce(leased_until, due_at) <= ?1 - ?4
    )
    and dead_at is null
    and (leased_until is null or leased_until <= ?1)
order by message_id
limit ?3
