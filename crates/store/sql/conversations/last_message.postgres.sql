-- The shared end of every listing of conversations: the last message of each conversation of `page`. Bodies may be large, and
-- only their beginning is shown.
left join lateral (
    select
        message.id, conversation_id, sequence, direction, channel, sender, recipient, subject, left(body, 4096) as body,
        attachments::text, metadata::text, timestamp, processed_at, send_at, expires_at, status, provider,
        failure_reason, failure_code, delivery_status, delivery_error_code, delivery_at, delivery_contradicted
    from (
        select id
        from messages
        where (conversation_id, timestamp, sequence) >= (page.id, '-infinity', 0)
            and (conversation_id, timestamp, sequence) <= (page.id, 'infinity', 9223372036854775807)
        order by conversation_id desc, timestamp desc, sequence desc
        limit 1
    ) as last
    cross join lateral (select * from messages_with_status where id = last.id limit 1) as message
) as message on true
order by last_activity_at desc, listed_id desc
