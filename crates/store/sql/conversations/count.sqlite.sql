-- Counts up to ?2.
select count(*)
from (select 1 from conversations where ?1 is null or channel = ?1 limit ?2) as counted
