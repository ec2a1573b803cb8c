-- A SQLite file belongs to one process, so the holders of old leases are gone.
update webhook_endpoints set leased_until = null where leased_until is not null
