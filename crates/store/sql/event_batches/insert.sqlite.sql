insert into event_batches (last, at, count, events) values (?1, ?2, ?3, ?4)
