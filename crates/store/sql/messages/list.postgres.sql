-- Newest processed first: the order of the ids. $5 is the id to start after, or the highest there can be. page.postgres.sql goes on.
with counted as (
    -- Counts no further than $4.
    select count(*) as total from (select from messages limit $4) as found
),
listed as materialized (
    select id, bytes, row_number() over (order by id desc) as place
    from (
        select id, octet_length(body) + coalesce(octet_length(subject), 0) + coalesce(octet_length(attachments::text), 0) as bytes
        from messages
        where id < $5
        order by id desc
        limit $1::bigint + 1 offset $3
    ) as newest
)
