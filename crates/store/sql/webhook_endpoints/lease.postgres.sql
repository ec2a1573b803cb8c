-- Leases up to $2 enabled endpoints that no node holds; skips those that another node is changing.
with free as (
    select id
    from webhook_endpoints
    where enabled and coalesce(leased_until <= now(), true)
    order by slot
    limit $2
    for update skip locked
)
update webhook_endpoints
set lease_token = lease_token + 1, leased_until = now() + $1 * interval '1 millisecond'
from free
where webhook_endpoints.id = free.id
returning webhook_endpoints.*
