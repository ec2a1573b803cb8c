select count(*) from webhook_endpoints
