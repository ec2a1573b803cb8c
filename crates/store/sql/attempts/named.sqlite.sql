-- Whether the provider ?2, or some provider, has or may have the message.
select 1
from attempts
where message_id = ?1 and outcome in ('success', 'timeout', 'unknown') and (?2 is null or provider = ?2)
