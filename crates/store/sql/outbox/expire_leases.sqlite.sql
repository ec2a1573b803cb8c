-- A SQLite file belongs to one process, so the holders of old leases are gone. Their entries can be claimed at once; the
-- claim records that they may have been sent.
update outbox set leased_until = 0 where leased_until is not null
