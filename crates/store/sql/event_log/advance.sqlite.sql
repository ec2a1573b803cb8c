update event_log set latest = latest + ?1 returning latest
