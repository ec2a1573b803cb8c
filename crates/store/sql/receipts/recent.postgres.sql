-- Receipts of the last $1 milliseconds that were not applied, the latest $2.
select id
from receipts
where message_id is null and stored_at > now() - $1 * interval '1 millisecond'
order by stored_at desc
limit $2
