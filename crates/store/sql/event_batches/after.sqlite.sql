select last, at, count, events from event_batches where last > ?1 order by last
