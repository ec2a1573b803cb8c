select * from webhook_endpoints where $1::uuid is null or id = $1 order by created_at, id
