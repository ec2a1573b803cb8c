select start_position, end_position from event_log
