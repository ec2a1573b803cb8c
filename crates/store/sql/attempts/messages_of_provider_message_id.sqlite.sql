-- The messages that the provider ?2, or any, took with the id ?1: more than one if the id is ambiguous.
select distinct message_id
from attempts
where provider_message_id = ?1 and (?2 is null or provider = ?2)
limit 2
