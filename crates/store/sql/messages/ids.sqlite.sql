-- Newest processed first, from ?1 on.
select id from messages where id <= ?1 order by id desc limit ?2
