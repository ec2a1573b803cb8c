select channel, sender, recipient, subject, body, attachments::text
from messages
where id = $1
