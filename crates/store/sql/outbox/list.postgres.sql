-- The messages that are pending, or dead ($6). As messages/list_filtered, along outbox_pending or outbox_dead.
with recursive kinds (channel, provider) as (
    -- One step along the index for each provider of a channel, not for each entry.
    select
        wanted.channel,
        coalesce($8::text, (
            select outbox.provider
            from outbox
            where (dead_at is not null) = $6 and outbox.channel = wanted.channel
            order by outbox.channel, outbox.provider
            limit 1
        ))
    from unnest(case when $7::text is null then array['sms', 'mms', 'email'] else array[$7] end) as wanted (channel)
    union all
    select
        kinds.channel,
        (
            select outbox.provider
            from outbox
            where (dead_at is not null) = $6 and outbox.channel = kinds.channel and outbox.provider > kinds.provider
            order by outbox.channel, outbox.provider
            limit 1
        )
    from kinds
    where $8::text is null and kinds.provider is not null
),
counted as (
    -- Counts up to $4.
    select count(*) as total
    from (
        select
        from kinds
        cross join lateral (
            select
            from outbox
            where (dead_at is not null) = $6
                and (channel, provider) >= (kinds.channel, kinds.provider)
                and (channel, provider) <= (kinds.channel, kinds.provider)
            order by channel, provider, message_id
            limit $4
        ) as one
        limit $4
    ) as found
),
listed as materialized (
    select newest.id, size.bytes, row_number() over (order by newest.id desc) as place
    from (
        select one.*
        from kinds
        cross join lateral (
            select message_id as id
            from outbox
            where (dead_at is not null) = $6
                and (channel, provider, message_id) < (kinds.channel, kinds.provider, $5)
                and (channel, provider, message_id)
                    >= (kinds.channel, kinds.provider, '00000000-0000-0000-0000-000000000000'::uuid)
            order by channel desc, provider desc, message_id desc
            limit $1::bigint + 1 + $3
        ) as one
        order by id desc
        limit $1::bigint + 1 offset $3
    ) as newest
    cross join lateral (
        select octet_length(body) + coalesce(octet_length(subject), 0) + coalesce(octet_length(attachments::text), 0) as bytes
        from messages
        where messages.id = newest.id
    ) as size
)
