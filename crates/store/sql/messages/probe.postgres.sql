-- Checks that commits succeed, without a row: a message to the write-ahead log is durable and waits for a synchronous
-- standby like any commit. A read-only database refuses the delete of nothing.
with checked as (
    delete from outbox where false
)
select pg_logical_emit_message(true, 'trunkline', '')::text
