-- As list, filtered by status ($6), channel ($7) and provider ($8). Each matching kind of message is read in the order of
-- the ids along messages_by_kind, and the kinds are merged. For pending and failed messages: outbox/list.
with recursive providers (provider) as (
    -- One step along the index for each provider, not for each message.
    select coalesce($8::text, (select provider from messages order by provider limit 1))
    union all
    select (
        select messages.provider from messages where messages.provider > providers.provider order by provider limit 1
    )
    from providers
    where $8::text is null and provider is not null
),
kinds as (
    select provider, channel, direction
    from providers
    cross join unnest(case when $7::text is null then array['sms', 'mms', 'email'] else array[$7] end) as channel
    cross join unnest(
        case $6::text
            when 'received' then array['inbound']
            when 'dispatched' then array['outbound']
            else array['inbound', 'outbound']
        end
    ) as direction
    where provider is not null
),
counted as (
    -- Counts up to $4. (A scalar subquery looks up each entry; for an `exists`, the whole outbox may be hashed.)
    select count(*) as total
    from (
        select
        from kinds
        cross join lateral (
            select
            from messages
            where (provider, channel, direction) >= (kinds.provider, kinds.channel, kinds.direction)
                and (provider, channel, direction) <= (kinds.provider, kinds.channel, kinds.direction)
                and ($6::text is distinct from 'dispatched' or (select message_id from outbox where message_id = messages.id) is null)
            -- Newest first: messages that are not dispatched are mostly old dead letters.
            order by provider desc, channel desc, direction desc, id desc
            limit $4
        ) as one
        limit $4
    ) as found
),
listed as materialized (
    select id, bytes, row_number() over (order by id desc) as place
    from (
        select one.*
        from kinds
        cross join lateral (
            select id, octet_length(body) + coalesce(octet_length(subject), 0) + coalesce(octet_length(attachments::text), 0) as bytes
            from messages
            -- Written as a range, so that only this index has the wanted order, whatever the statistics are.
            where (provider, channel, direction, id) < (kinds.provider, kinds.channel, kinds.direction, $5)
                and (provider, channel, direction, id)
                    >= (kinds.provider, kinds.channel, kinds.direction, '00000000-0000-0000-0000-000000000000'::uuid)
                and ($6::text is distinct from 'dispatched' or (select message_id from outbox where message_id = messages.id) is null)
            order by provider desc, channel desc, direction desc, id desc
            limit $1::bigint + 1 + $3
        ) as one
        order by id desc
        limit $1::bigint + 1 offset $3
    ) as newest
)
