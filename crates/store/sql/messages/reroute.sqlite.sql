update messages set provider = ?2 where id = ?1 and provider <> ?2
