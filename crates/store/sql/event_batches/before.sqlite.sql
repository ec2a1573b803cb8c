-- The place before the first event at ?1 or later.
select last - count from event_batches where at >= ?1 order by at, last limit 1
