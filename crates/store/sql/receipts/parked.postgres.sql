-- Receipts that were not applied yet and may be about these messages: they name one of $1, or one of the provider message
-- ids $2 or of an attempt of the messages $3.
select id from receipts where message_id is null and named_message_id is not null and named_message_id = any($1)
union
select id
from receipts
where message_id is null and provider_message_id is not null
    -- Attempts without an id are not filtered out, so that only the primary key serves this.
    and provider_message_id = any($2::text[] || array(select provider_message_id from attempts where message_id = any($3)))
