-- Makes dead letters pending again, with a fresh route, budget and deadline. Attempt numbers continue.
with chosen as (
    select
        message_id,
        (
            select route.provider
            from unnest($9::text[], $10::text[]) as route (channel, provider)
            where route.channel = outbox.channel and outbox.provider <> all($11)
        ) as route
    from outbox
    where dead_at is not null
        and ($1::uuid is null or message_id = $1)
        and ($2::text is null or outbox.provider = $2)
        and ($3::text is null or channel = $3)
        and ($4::text is null or failure_reason = $4)
        and ($5::timestamptz is null or dead_at < $5)
    order by message_id
    limit $8
    for update
),
revived as (
    update outbox
    set
        provider = coalesce(chosen.route, outbox.provider),
        dead_at = null,
        due_at = now(),
        deadline_at = now() + case outbox.channel when 'email' then $7::float8 else $6::float8 end * interval '1 millisecond',
        counted = 0,
        rate_limited_in_a_row = 0,
        panics = 0,
        not_taken = 0,
        unsure = false,
        failure_reason = null,
        failure_code = null
    from chosen
    where outbox.message_id = chosen.message_id
    returning outbox.message_id, outbox.provider
),
rerouted as (
    update messages
    set provider = revived.provider
    from revived
    where messages.id = revived.message_id and messages.provider <> revived.provider
)
select count(*) as redriven, now() as at from revived
