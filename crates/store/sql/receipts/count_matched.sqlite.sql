-- Counts up to ?1.
select count(*) from (select 1 from receipts where message_id is not null limit ?1)
