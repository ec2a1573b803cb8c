"""What no schema can say about valid requests, said to schemathesis."""

import itertools
import os

import schemathesis

# What is there to be read. Nobody guesses the id of a message.
IDS = {"/api/messages/{id}": itertools.cycle(os.environ["MESSAGES"].split()), "/api/conversations/{id}": itertools.cycle(["1"])}
# Cursors are opaque: nobody is promised that one of his own making is taken. These could have come from the service.
CURSORS = {
    "/api/conversations": "c1795255200000000.1",
    "/api/conversations/{id}/messages": "t1795255200000000.1",
    "/api/messages": "m01a1fc5f8b3e7c619d0a4f2b6c8e1a35",
}


@schemathesis.hook
def map_case(context, case):
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return case
    if case.query and case.query.get("cursor"):
        case.query["cursor"] = CURSORS[case.operation.path]
    # What one answer leads to is followed as it is.
    follows = case.meta.phase.name.value == "stateful"
    for path, ids in IDS.items():
        if case.operation.path.startswith(path) and not follows:
            case.path_parameters["id"] = next(ids)
    if case.operation.label == "PUT /api/provider/mock/config" and isinstance(case.body, dict):
        add_up(case.body)
    return case


def add_up(config):
    """The percentages of a provider add up to 100 at most. And JSON Schema takes 1.0 for an integer; the service wants
    integers written as such, as the contract says."""
    for name, value in config.items():
        if isinstance(value, dict):
            add_up(value)
        elif name.endswith("_pct") and isinstance(value, (int, float)):
            config[name] = int(value) // 3
        elif name == "seed" and isinstance(value, float):
            config[name] = int(value)
