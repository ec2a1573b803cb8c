-- Newest processed first, which is the order of the ids. $5 is the id to start after, or the highest possible one; $6 is the
-- lowest to list. Continued by page.postgres.sql.
with counted as (
    -- Counts up to $4.
    select count(*) as total from (select from messages where id >= $6 limit $4) as found
),
chosen as (
    select id, row_number() over (order by id desc) as place
    from (
        select id from messages where id < $5 and id >= $6 order by id desc limit $1::bigint + 1 offset $3
    ) as newest
)
