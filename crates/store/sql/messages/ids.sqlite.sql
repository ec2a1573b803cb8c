-- Newest processed first. ?1 is the id to start after, or the highest possible one.
select id from messages where id < ?1 order by id desc
