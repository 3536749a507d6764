"""What schemathesis loads into its own process beside its settings.

Requests that are known to succeed go before those that it makes up. The ids in them are of one run,
so they come in by the environment: for each operation, as it is labelled, parts of such requests.
"""

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
    """Where a stream has both `schema` and `itemSchema`, leave the latter.

    `schema` is one event's data to typed clients, but the whole stream in OpenAPI 3.2.
    """
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
