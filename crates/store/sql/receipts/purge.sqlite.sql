delete from receipts
where id in (
    select id from receipts where message_id is null and received_at <= ?1 order by received_at limit ?2
)
