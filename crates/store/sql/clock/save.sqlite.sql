insert into clock (id, latest) values (1, ?1)
on conflict (id) do update set latest = excluded.latest
