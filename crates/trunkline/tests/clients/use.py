"""Uses every kind of operation of a node through the client that openapi-python-client made of openapi.json."""

import sys
import time
from datetime import datetime, timezone

from trunkline_client import AuthenticatedClient
from trunkline_client.api.operate import get_metrics, is_ready
from trunkline_client.api.providers import list_providers
from trunkline_client.api.read import (
    get_conversation,
    get_message,
    list_conversation_messages,
    list_conversations,
    list_messages,
)
from trunkline_client.api.receive import receive_email, receive_sms
from trunkline_client.api.redrive import redrive_message, redrive_messages
from trunkline_client.api.send import send, send_email, send_sms
from trunkline_client.api.simulated_providers import inject_inbound, put_simulation
from trunkline_client.models import (
    Accepted,
    Channel,
    EmailRequest,
    EmailWebhook,
    FailureReason,
    MessageRequest,
    MockInbound,
    Problem,
    PhoneChannel,
    RedriveRequest,
    Simulation,
    SmsRequest,
    SmsWebhook,
    Status,
)

URL, KEY = sys.argv[1:]
WAIT_MAX_S = 60
HERE, THERE = "+12016661234", "+18045551234"
SHOP, CUSTOMER = "shop@example.com", "customer@example.com"
MENU = "https://example.com/menu.png"

client = AuthenticatedClient(base_url=URL, token=KEY, raise_on_unexpected_status=True)


def accepted(operation, **request):
    answer = operation.sync(client=client, **request)
    assert isinstance(answer, Accepted), answer
    return answer


def wait_for(message, status):
    """The message, once it has this status."""
    until = time.monotonic() + WAIT_MAX_S
    while (detail := get_message.sync(message.id, client=client)).status != status:
        assert time.monotonic() < until, f"waited for {status}: {detail}"
        time.sleep(0.02)
    return detail


def simulate(error_pct):
    simulation = Simulation(timeout_pct=0, error_pct=error_pct, ratelimit_pct=0)
    assert put_simulation.sync(client=client, body=simulation).error_pct == error_pct


simulate(error_pct=0)

# Send
sms = SmsRequest(from_=HERE, to=THERE, type_=PhoneChannel.SMS, body="Hello!", timestamp="2026-11-21T10:00:00Z")
text = accepted(send_sms, body=sms, idempotency_key="order-17")
assert accepted(send_sms, body=sms, idempotency_key="order-17").id == text.id
mms = SmsRequest(from_=HERE, to=THERE, type_=PhoneChannel.MMS, body="The menu", attachments=[MENU])
picture = accepted(send_sms, body=mms)
any_channel = MessageRequest(channel=Channel.MMS, from_=HERE, to=THERE, body="The menu again", attachments=[MENU])
accepted(send, body=any_channel)
mail = accepted(send_email, body=EmailRequest(from_=SHOP, to=CUSTOMER, subject="Your order", body="<p>Sent</p>"))
refused = send_sms.sync(client=client, body=SmsRequest(from_="", to=THERE, type_=PhoneChannel.SMS, body="Hello!"))
assert isinstance(refused, Problem) and refused.errors[0].pointer == "/from", refused

# Receive
reply = SmsWebhook(from_=THERE, to=HERE, type_=PhoneChannel.SMS, messaging_provider_id="reply-1", body="Who is this?")
answered = accepted(receive_sms, body=reply)
assert answered.conversation_id == text.conversation_id
assert accepted(receive_sms, body=reply).id == answered.id
thanks = EmailWebhook(from_=CUSTOMER, to=SHOP, xillio_id="reply-2", subject="Re: Your order", body="<p>Thanks</p>")
assert accepted(receive_email, body=thanks).conversation_id == mail.conversation_id
accepted(inject_inbound, body=MockInbound(channel=Channel.SMS, from_=THERE, to=HERE, body="Hello?"))

# Read
detail = wait_for(text, Status.DISPATCHED)
assert (detail.from_, detail.to, detail.body) == (HERE, THERE, "Hello!")
assert [attempt.attempt_number for attempt in detail.attempts] == [1]
assert detail.timestamp == datetime(2026, 11, 21, 10, tzinfo=timezone.utc)
assert wait_for(picture, Status.DISPATCHED).attachments == [MENU]
received = list_messages.sync(client=client, status=Status.RECEIVED, channel=Channel.SMS)
assert {message.body for message in received.items} == {"Who is this?", "Hello?"}
conversations = list_conversations.sync(client=client, participant=THERE)
assert [conversation.message_count for conversation in conversations.items] == [5]
assert get_conversation.sync(text.conversation_id, client=client).message_count == 5
first = list_conversation_messages.sync(text.conversation_id, client=client, page_size=2)
rest = list_conversation_messages.sync(text.conversation_id, client=client, cursor=first.meta.next_cursor)
assert (len(first.items), len(rest.items), first.meta.total) == (2, 3, 5)

# Redrive
simulate(error_pct=100)
lost = accepted(send_email, body=EmailRequest(from_=SHOP, to=CUSTOMER, body="Lost"))
assert wait_for(lost, Status.FAILED).failure.reason == FailureReason.EXHAUSTED
simulate(error_pct=0)
assert redrive_message.sync(lost.id, client=client).id == lost.id
assert len(wait_for(lost, Status.DISPATCHED).attempts) == 3
failed = RedriveRequest(reason=FailureReason.EXHAUSTED, failed_before=datetime.now(timezone.utc))
assert redrive_messages.sync(client=client, body=failed).redriven == 0

# Operate
assert is_ready.sync(client=client).status == "ready"
assert {provider.name for provider in list_providers.sync(client=client).items} == {"sms-mms", "email", "scripted"}
assert "trunkline_" in get_metrics.sync(client=client)
