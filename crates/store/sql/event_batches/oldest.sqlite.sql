select last, at, count from event_batches order by last
