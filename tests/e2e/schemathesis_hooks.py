"""What schemathesis loads: requests known to succeed, by the environment, go before its own."""

import json
import os
from typing import Any

import schemathesis
from schemathesis import Case, HookContext

from simulator.gallery import jpeg
from simulator.pictures import PICTURES

KNOWN = json.loads(os.environ["KNOWN_REQUESTS"])
UPLOAD = {"body": {"image": [jpeg(PICTURES[7].name)]}, "media_type": "multipart/form-data"}
UPLOADS = {"POST /search": [UPLOAD], "POST /search/stream": [UPLOAD]}


@schemathesis.hook
def before_load_schema(_: HookContext, raw_schema: dict[str, Any]) -> None:
    """Leave a stream's `itemSchema` alone: `schema`, an event to typed clients, is all in 3.2."""
    for item in raw_schema["paths"].values():
        for operation in item.values():
            stream = operation["responses"].get("200", {}).get("content", {})
            events = stream.get("text/event-stream", {})
            if "itemSchema" in events:
                events.pop("schema", None)


@schemathesis.hook
def before_add_examples(context: HookContext, examples: list[Case[Any]]) -> None:
    operation = context.operation
    assert operation
    known = [*KNOWN.get(operation.label, []), *UPLOADS.get(operation.label, [])]
    examples.extend(operation.Case(**parts) for parts in known)
