-- Fresh attempts: the time while the endpoint was disabled does not count. Those that wait behind an earlier event have no due time.
update webhook_deliveries set due_at = iif(due_at is not null, ?2, null), attempts = '[]'
where endpoint_id = ?1 and status = 'pending' and (due_at is not null or attempts <> '[]')
