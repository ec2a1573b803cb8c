-- Receipts, the latest first: all, or those that were applied to a message ($4) or not. $3 is the position to start before, or
-- the highest possible one.
with counted as (
    -- Counts up to $5.
    select count(*) as total
    from (select from receipts where $4::boolean is null or (message_id is not null) = $4 limit $5) as found
),
listed as (
    select *
    from receipts
    where id < $3 and ($4::boolean is null or (message_id is not null) = $4)
    order by id desc
    limit $1 offset $2
)
select
    total, id, provider, provider_message_id, named_message_id, message_id, receipt.status, error_code, at, received_at
from counted
left join listed as receipt on true
order by id desc
