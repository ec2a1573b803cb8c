-- Counts up to ?3.
select count(*)
from (select 1 from webhook_deliveries where endpoint_id = ?1 and (?2 is null or status = ?2) limit ?3)
