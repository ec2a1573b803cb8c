-- Applies those of the receipts $1 that match a message whose entry is not leased, up to $3 of them. With $2 an expired lease
-- counts as none, and is recorded as in claim. A message is locked after its outbox entry, and messages in the order of
-- their ids. The new values follow from the locked rows, so receipts that are applied at once end alike in any order.
with matched as (
    select receipt.*, found.message_id
    from unnest($1::bigint[]) as given (id)
    cross join lateral (
        select
            id, provider, provider_message_id, named_message_id, error_code, at, status,
            array_position(array['sent', 'undelivered', 'delivered'], status) as rank
        from receipts
        where id = given.id and message_id is null
        limit 1
    ) as receipt
    -- The first and the last message with an attempt of this provider message id. They must be the same. Written as
    -- ranges, so that only attempts_by_provider_message_id has the wanted order.
    cross join lateral (
        select
            (
                select message_id
                from attempts
                where provider_message_id is not null
                    and (provider_message_id, message_id)
                        >= (receipt.provider_message_id, '00000000-0000-0000-0000-000000000000'::uuid)
                    and (provider_message_id, message_id)
                        <= (receipt.provider_message_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
                    and (receipt.provider is null or provider = receipt.provider)
                order by provider_message_id, message_id
                limit 1
            ) as first,
            (
                select message_id
                from attempts
                where provider_message_id is not null
                    and (provider_message_id, message_id)
                        >= (receipt.provider_message_id, '00000000-0000-0000-0000-000000000000'::uuid)
                    and (provider_message_id, message_id)
                        <= (receipt.provider_message_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
                    and (receipt.provider is null or provider = receipt.provider)
                order by provider_message_id desc, message_id desc
                limit 1
            ) as last
        offset 0 -- So that it is evaluated once.
    ) as by_provider_id
    cross join lateral (
        select coalesce(
            case when first = last then first end,
            (
                select message_id
                from attempts
                where message_id = receipt.named_message_id and outcome in ('success', 'timeout', 'unknown')
                    and (receipt.provider is null or provider = receipt.provider)
                limit 1
            )
        ) as message_id
        offset 0
    ) as found
    where found.message_id is not null
),
chosen as materialized (
    select *
    from matched
    where (
        select leased_until is null or $2 and leased_until <= now() from outbox where message_id = matched.message_id
    ) is not false
    order by id
    limit $3
),
locked as materialized (
    select
        target.message_id, message.*,
        entry.message_id is not null as proved, entry.leased_until is not null as lease_expired,
        entry.provider, entry.lease_token, entry.attempts + 1 as expired_attempt
    from (select distinct message_id from chosen order by message_id) as target
    left join lateral (
        select message_id, provider, lease_token, leased_until, attempts
        from outbox
        where message_id = target.message_id
        limit 1
        for update
    ) as entry on true
    cross join lateral (
        select
            conversation_id, channel, resolution, delivery_status, delivery_error_code, delivery_at, delivery_contradicted,
            array_position(array['sent', 'undelivered', 'delivered'], delivery_status) as delivery_rank
        from messages
        where id = target.message_id
        limit 1
        for update
    ) as message
    -- Checked again: it may have been claimed since the statement began.
    where entry.leased_until is null or $2 and entry.leased_until <= now()
),
-- The greatest status counts, and of receipts with it the earliest.
said as (
    select distinct on (message_id)
        message_id, status, rank, error_code, at,
        bool_or(status = 'delivered') over of_message as delivered,
        bool_or(status = 'undelivered') over of_message as undelivered
    from chosen
    window of_message as (partition by message_id)
    order by message_id, rank desc, at, error_code collate "C" nulls first
),
folded as materialized (
    select
        locked.message_id, conversation_id, channel, proved, lease_expired, provider, lease_token, expired_attempt,
        resolution as old_resolution,
        case
            when resolution = 'canceled' or greatest(rank, delivery_rank) = 1 then resolution
            when greatest(rank, delivery_rank) = 2 then 'undelivered'
            else 'delivered'
        end as resolution,
        case when wins then said.status else delivery_status end as status,
        case when wins then said.error_code else delivery_error_code end as error_code,
        case when wins then said.at else delivery_at end as at,
        coalesce(delivery_contradicted, false)
            or (delivered or delivery_status is not distinct from 'delivered')
                and (undelivered or delivery_status is not distinct from 'undelivered') as contradicted
    from locked
    join said using (message_id)
    cross join lateral (
        select coalesce(
            (rank, delivery_at, delivery_error_code is not null, coalesce(delivery_error_code, '') collate "C")
                > (delivery_rank, said.at, said.error_code is not null, coalesce(said.error_code, '') collate "C"),
            true
        ) as wins
    ) as comparison
),
recorded as (
    insert into attempts
        (message_id, number, lease_token, provider, outcome, error_code, occurred_at, latency_ms)
    select message_id, expired_attempt, lease_token, provider, 'unknown', 'lease_expired', now(), 0
    from folded
    where lease_expired
),
-- A provider has the message.
dispatched as (
    delete from outbox
    where message_id = any(array(select message_id from folded where proved))
),
updated as (
    update messages
    set
        resolution = folded.resolution,
        delivery_status = folded.status,
        delivery_error_code = folded.error_code,
        delivery_at = folded.at,
        delivery_contradicted = folded.contradicted
    from folded
    where messages.id = folded.message_id
        and messages.id = any(array(select message_id from folded))
),
logged as (
    insert into event_batches (types, subject_ids, conversation_ids, error_codes)
    select
        array_agg(type), array_agg(message_id), array_agg(conversation_id),
        array_agg(case type when 'message.undelivered' then error_code end)
    from folded
    cross join lateral unnest(
        case when proved then array['message.dispatched'] end
            || case when resolution <> old_resolution then array['message.' || resolution] end
    ) as type
    having count(*) > 0
),
applied as (
    update receipts
    set message_id = chosen.message_id
    from chosen
    join folded using (message_id)
    where receipts.id = chosen.id
        and receipts.id = any($1)
        and receipts.message_id is null
    returning receipts.message_id
)
select
    message_id, channel,
    case
        when lease_expired and row_number() over (partition by message_id) = 1 then provider
    end as expired_at_provider
from applied
join folded using (message_id)
