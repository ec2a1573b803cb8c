-- Newest processed first, from ?1 on.
select id from messages where from_participant = ?3 and id <= ?1 order by id desc limit ?2
