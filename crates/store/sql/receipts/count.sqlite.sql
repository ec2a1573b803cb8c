-- Counts up to ?1.
select count(*) from (select 1 from receipts limit ?1)
