-- Tells whether commits succeed, without a row: a message to the write-ahead log is durable, and waits for a synchronous standby,
-- as any commit. The delete of nothing is refused where the database is read-only.
with checked as (
    delete from outbox where false
)
select pg_logical_emit_message(true, 'trunkline', '')::text
