-- Gives up to $1 rows of the event log their positions. A transaction that saw another one's changes drew its number later,
-- so the order of the numbers is the order of the changes. Nodes take turns: they lock the one row of event_log. One that
-- waited there may find some of its rows placed: it leaves these alone, and gaps stay.
with unplaced as materialized (
    select ctid, batch, cardinality(subject_ids) as events
    from event_batches
    where last_position is null
    order by batch
    limit $1
),
-- Without work, no lock.
log as materialized (
    select end_position from event_log where exists (select from unplaced) for update
),
-- Found again by ctid, which leaves the planner no choice: it knows nothing of the number of rows without a position.
placed as (
    update event_batches
    set last_position = numbered.last_position
    from (
        select unplaced.ctid, end_position + sum(events) over (order by batch) as last_position
        from unplaced
        cross join log
    ) as numbered
    where event_batches.ctid = numbered.ctid and event_batches.last_position is null
),
moved as (
    update event_log
    set end_position = log.end_position + (select sum(events) from unplaced)
    from log
)
select count(*) as batches from unplaced
