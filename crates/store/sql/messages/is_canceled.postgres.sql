select resolution = 'canceled' as canceled from messages where id = $1
