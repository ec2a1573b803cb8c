-- Whether a settlement took effect already, although whoever asked for it was not told: the try stands under the lease it
-- was made under, or the entry was buried without one.
select 1
where case
    when ?4 then exists (
        select 1 from attempts where message_id = ?1 and lease_token = ?2 and number = ?3 and outcome <> 'unknown'
    )
    else exists (select 1 from outbox where message_id = ?1 and lease_token = ?2 and dead_at is not null)
        and not exists (select 1 from attempts where message_id = ?1 and lease_token = ?2 and outcome = 'unknown')
end
