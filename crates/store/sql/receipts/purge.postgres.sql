delete from receipts
where message_id is null
    and id = any(array(
        select id
        from receipts
        where message_id is null and stored_at <= now() - $1 * interval '1 millisecond'
        order by stored_at
        limit $2
    ))
returning id
