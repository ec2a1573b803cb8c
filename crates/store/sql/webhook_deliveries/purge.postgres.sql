delete from webhook_deliveries
where (endpoint_id, event_id) in (
    select endpoint_id, event_id
    from webhook_deliveries
    where status = 'failed' and event_id <= (select start_position from event_log)
    order by event_id
    limit $1
    for update skip locked
)
returning event_id
