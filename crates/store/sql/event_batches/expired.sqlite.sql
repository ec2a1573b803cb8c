-- Oldest first.
select last, count from event_batches where at <= ?1 order by last limit ?2
