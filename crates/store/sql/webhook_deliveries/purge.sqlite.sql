-- Failed ones up to the place ?1.
delete from webhook_deliveries
where rowid in (
    select rowid from webhook_deliveries where status = 'failed' and event_id <= ?1 order by event_id limit ?2
)
