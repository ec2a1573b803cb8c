select message_id from receipts where id = $1 and message_id is not null
