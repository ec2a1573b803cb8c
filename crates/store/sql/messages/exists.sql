select 1 from messages where id = $1
