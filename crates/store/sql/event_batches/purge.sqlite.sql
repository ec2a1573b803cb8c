delete from event_batches where last <= ?1
