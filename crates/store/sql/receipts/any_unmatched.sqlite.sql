select 1 from receipts where message_id is null limit 1
