-- Different bytes each time: SQLite does not write unchanged pages.
insert into probe (id, filler) values (1, randomblob(?1))
on conflict (id) do update set filler = excluded.filler
