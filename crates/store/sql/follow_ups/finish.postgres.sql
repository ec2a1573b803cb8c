delete from follow_ups
using (
    select unnest($1::uuid[]) as message_id, unnest($2::integer[]) as attempt, unnest($3::integer[]) as place
) as done
where follow_ups.message_id = done.message_id
    and follow_ups.attempt = done.attempt
    and follow_ups.place = done.place
