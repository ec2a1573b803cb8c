-- Takes the lowest free slot up to $2. Returns no row if another node has just taken it; `full` if none is free.
with free as (
    select slot from generate_series(1, $2::integer) as slot
    where not exists (select from webhook_endpoints where webhook_endpoints.slot = slot.slot)
    order by slot
    limit 1
),
inserted as (
    insert into webhook_endpoints (id, slot, url, types, payload, description, secret, cursor)
    select $1, free.slot, $3, $4, $5, $6, $7, $8
    from free
    on conflict (slot) do nothing
    returning *
)
select inserted.*, false as full from inserted
union all
select (null::webhook_endpoints).*, true as full where not exists (select from free)
