delete from webhook_endpoints where id = ?1
