-- A SQLite file belongs to one process: whoever held a lease when this one starts is gone. Its entries can be claimed at
-- once, and the claim records what may have been sent.
update outbox set leased_until = 0 where leased_until is not null
