-- The sizes come from the headers of the rows, so no content is read for them.
select
    message_id, lease_token, attempts, lost, counted, rate_limited_in_a_row, panics, not_taken, unsure,
    leased_until is not null as lease_expired,
    max(0, deadline_at - ?2) / 1000 as deadline_in_ms,
    (
        select octet_length(body) + coalesce(octet_length(subject), 0) + coalesce(octet_length(attachments), 0)
            + coalesce(octet_length(metadata), 0)
        from messages
        where id = message_id
    ) as bytes
from outbox
where provider = ?1 and dead_at is null and coalesce(leased_until, due_at) <= ?2
order by coalesce(leased_until, due_at)
limit ?3
