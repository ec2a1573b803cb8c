-- Counts no further than $2.
select count(*)
from (select 1 from conversations where $1::text is null or channel = $1 limit $2) as counted
