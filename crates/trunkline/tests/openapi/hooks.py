"""What no schema can say about requests and answers, said to schemathesis."""

import datetime
import itertools
import os

import schemathesis

# Ids of messages and conversations that exist: a generated one never does.
IDS = {"/api/messages/{id}": itertools.cycle(os.environ["MESSAGES"].split()), "/api/conversations/{id}": itertools.cycle(["1"]), "/api/webhook-endpoints/{id}": itertools.cycle([os.environ["ENDPOINT"]])}
# Cursors are opaque: only one that the service made is valid. These have its form.
CURSORS = {
    "/api/conversations": "c1795255200000000.1",
    "/api/conversations/{id}/messages": "t1795255200000000.1",
    "/api/messages": "m01a1fc5f8b3e7c619d0a4f2b6c8e1a35",
    "/api/receipts": "r1",
    "/api/webhook-endpoints/{id}/deliveries": "e0000000000000001",
}
PROVIDERS = ["sms-mms", "email"]
# Addresses have a grammar, which descriptions give in words (and crates/domain/tests/edge as inputs).
PHONES = itertools.cycle(["+18045551234", "+1 (804) 555-1234", "001.804.555.1235", "tel:+1\u00a0804\u2011555\u20111236", "24365"])
SENDERS = itertools.cycle(["+12016661234", "24365", "Acme", "A_1.&-b+!*?"])
EMAILS = itertools.cycle(["customer@example.com", "Shop+order-17@example.com"])
EXAMPLES = {"timestamp": "2026-11-21T10:00:00Z", "subject": "Re: Your order"}
ATTACHMENT = "https://example.com/menu.png"
# Nothing listens there.
ENDPOINT_URL = "http://127.0.0.1:9/hook"
# A wait for something that does not happen takes all of its time.
WAIT_MS_MAX = 20


@schemathesis.hook
def before_add_examples(context, examples):
    """A documented request is sent as it stands. One put together from the examples of single fields is made valid."""
    content = context.operation.definition.raw.get("requestBody", {}).get("content", {})
    documented = [example["value"] for media in content.values() for example in media.get("examples", {}).values()]
    for case in examples:
        if case.body not in documented:
            make_valid(case)


@schemathesis.hook
def map_case(context, case):
    if is_positive(case):
        make_valid(case)
    if case.query and str(case.query.get("wait_ms", "")).isdecimal():
        case.query["wait_ms"] = min(int(case.query["wait_ms"]), WAIT_MS_MAX)
    return case


def make_valid(case):
    if case.query and case.query.get("cursor"):
        case.query["cursor"] = CURSORS[case.operation.path]
    for name in ("participant", "from", "to"):
        if case.query and case.query.get(name):
            case.query[name] = next(SENDERS)
    # These say what a wait is for.
    for name, value in (("until", "final"), ("count", 1)):
        if case.query and case.query.get(name) is not None:
            case.query[name] = value
            case.query["wait_ms"] = WAIT_MS_MAX
    if case.query and case.query.get("type"):
        case.query["type"] = "message.accepted,message.failed"
    if case.query and case.query.get("after") and case.operation.path == "/api/events":
        case.query["after"] = "oldest"
    if case.query and case.query.get("provider") and case.method == "POST":
        case.query["provider"] = PROVIDERS[0]
    # A request made from an earlier answer already has an id that exists.
    follows = case.meta is not None and case.meta.phase.name.value == "stateful"
    for path, ids in IDS.items():
        if case.operation.path.startswith(path) and not follows:
            case.path_parameters["id"] = next(ids)
    if isinstance(case.body, dict):
        if case.operation.label == "PUT /api/provider/mock/config":
            providers = case.body.get("providers")
            if providers:
                case.body["providers"] = dict(zip(PROVIDERS, providers.values()))
            add_up(case.body)
        elif "to" in case.body:
            write(case.body)
        elif case.operation.path.endswith("/replay"):
            case.body.clear()
            case.body["failed"] = True
        elif "/webhook-endpoints" in case.operation.path:
            case.body["url"] = ENDPOINT_URL
        elif case.operation.path == "/api/webhooks/receipts":
            case.body["message_id"] = case.body.get("message_id") or os.environ["MESSAGES"].split()[0]
        elif case.operation.label == "POST /api/messages/redrive" and not any(case.body.values()):
            case.body["reason"] = "exhausted"


@schemathesis.hook
def filter_case(context, case):
    """Leaves out invalid values of fields that are never refused: a timestamp, the subject of a text, and `effective`, which
    comes back when a configuration that was read is put."""
    if is_positive(case) or not isinstance(case.body, dict):
        return True
    is_text = "email" not in (case.body.get("channel"), case.operation.path.rsplit("/", 1)[-1])
    ignored = ["timestamp", "effective", "subject"] if is_text else ["timestamp", "effective"]
    return all(case.body.get(name) in (None, EXAMPLES.get(name)) for name in ignored)


@schemathesis.check
def answers_with_a_code_of_its_status(ctx, response, case):
    """A problem has one of the codes that the description has as examples for this status."""
    answers = case.operation.definition.raw["responses"]
    answer = answers.get(str(response.status_code), {})
    if "$ref" in answer:
        answer = case.operation.schema.raw_schema["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
    examples = answer.get("content", {}).get("application/problem+json", {}).get("examples", {})
    if examples:
        problem = response.json()
        assert problem["code"] in examples, f"{problem['code']} is not among {list(examples)}"
        assert problem["status"] == response.status_code


def is_positive(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


def write(message):
    """Makes a message that its channel can carry."""
    channel = message.get("channel") or message.get("type") or "email"
    for name in ("channel", "type"):
        if message.get(name):
            message[name] = channel
    if channel == "email":
        message.update({"from": next(EMAILS), "to": next(EMAILS)})
    else:
        message.update({"from": next(SENDERS), "to": next(PHONES)})
    if channel == "mms":
        message["attachments"] = message.get("attachments") or [ATTACHMENT]
    else:
        message["body"] = message.get("body") or "Hello!"
    if channel == "sms":
        message.pop("attachments", None)
    if message.get("subject"):
        message["subject"] = EXAMPLES["subject"]
    if message.get("metadata"):
        message["metadata"] = {"order": "17"}
    now = datetime.datetime.now(datetime.timezone.utc)
    for name, days in (("send_at", 1), ("expires_at", 2)):
        if message.get(name) is not None:
            message[name] = (now + datetime.timedelta(days=days)).isoformat()


def add_up(config):
    """The percentages of a provider add up to 100 at most, and its longest latency is not below its shortest. And JSON Schema takes 1.0 for an integer; the service wants
    integers written as such, as the contract says."""
    for name, value in config.items():
        if isinstance(value, dict):
            add_up(value)
        elif name.endswith("_pct") and isinstance(value, (int, float)):
            config[name] = int(value) // 4
        elif name in ("latency_ms", "latency_max_ms") and isinstance(value, (int, float)):
            config[name] = int(value) % 100 + (100 if name == "latency_max_ms" else 0)
        elif name in ("seed", "delay_ms") and isinstance(value, float):
            config[name] = int(value)
