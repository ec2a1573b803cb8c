-- Newest processed first, which is the order of the ids. $5 is the id to start after, or the highest possible one.
-- Continued by page.postgres.sql.
with counted as (
    -- Counts up to $4.
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
