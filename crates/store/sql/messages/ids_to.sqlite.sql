-- Newest processed first, from ?1 on.
select id from messages where to_participant = ?3 and id <= ?1 order by id desc limit ?2
