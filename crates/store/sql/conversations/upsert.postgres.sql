-- Each conversation is touched once, in the order of the keys, with the share that a batch has in it. Outside of a
-- transaction that counts, nothing is: this is sent before it is known whether one has begun.
insert into conversations as c
    (channel, participant_a, participant_b, message_count, last_activity_at, created_at)
select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[])
where current_setting('trunkline.counting', true) = 'yes'
on conflict (participant_a, participant_b, channel) do update set
    message_count = c.message_count + excluded.message_count,
    last_activity_at = greatest(c.last_activity_at, excluded.last_activity_at)
returning id, message_count, channel, participant_a, participant_b
