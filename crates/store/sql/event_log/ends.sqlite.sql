select latest, coalesce((select last - count from event_batches order by last limit 1), latest) as start from event_log
