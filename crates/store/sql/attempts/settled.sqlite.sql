-- Whether a settlement took effect in an earlier call whose answer was lost: the attempt is recorded under its lease, or the
-- entry was dead-lettered or rerouted (?5) without an attempt.
select 1
where case
    when ?4 then exists (
        select 1 from attempts where message_id = ?1 and lease_token = ?2 and number = ?3 and outcome <> 'unknown'
    )
    else exists (
            select 1
            from outbox
            where message_id = ?1 and lease_token = ?2 and (dead_at is not null or leased_until is null and provider = ?5)
        )
        and not exists (select 1 from attempts where message_id = ?1 and lease_token = ?2 and outcome = 'unknown')
end
