select id, channel, sender, recipient, subject, body, attachments::text, metadata::text
from messages
where id = any($1)
