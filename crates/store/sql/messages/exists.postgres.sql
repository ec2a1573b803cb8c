select from messages where id = $1
