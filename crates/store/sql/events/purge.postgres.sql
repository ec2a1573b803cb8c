-- Deletes the oldest events that are older than $1 milliseconds: whole rows, until $2 events are exceeded.
with expired as materialized (
    select last_position
    from (
        select
            last_position,
            sum(events) over oldest_first - events as before,
            bool_and(at <= now() - $1 * interval '1 millisecond') over oldest_first as all_expired
        from (
            select last_position, cardinality(subject_ids) as events, at
            from event_batches
            where last_position is not null
            order by last_position
            limit $2
        ) as oldest
        window oldest_first as (order by last_position)
    ) as summed
    where all_expired and before < $2
),
deleted as (
    delete from event_batches
    where last_position = any(array(select last_position from expired))
    returning last_position, cardinality(subject_ids) as events
),
moved as (
    update event_log
    set start_position = greatest(start_position, (select max(last_position) from deleted))
    where exists (select from deleted)
)
select coalesce(sum(events), 0)::bigint as purged from deleted
