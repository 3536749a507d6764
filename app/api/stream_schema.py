"""The event stream for typed clients: what each event holds, and how it is framed. Pure."""

from typing import Any

from app.api.schemas import ENDED_AS, OWN_EVENTS

RELAYED: dict[str, dict[str, str]] = {
    "response.created": {"response": "object"},
    "response.in_progress": {"response": "object"},
    "response.output_item.added": {"output_index": "integer", "item": "object"},
    "response.output_item.done": {"output_index": "integer", "item": "object"},
    "response.content_part.added": {"output_index": "integer", "part": "object"},
    "response.content_part.done": {"output_index": "integer", "part": "object"},
    "response.output_text.delta": {"output_index": "integer", "delta": "string"},
    "response.output_text.done": {"output_index": "integer", "text": "string"},
    "response.reasoning_text.delta": {"output_index": "integer", "delta": "string"},
    "response.reasoning_text.done": {"output_index": "integer", "text": "string"},
    "response.reasoning_summary_text.delta": {"output_index": "integer", "delta": "string"},
    "response.reasoning_summary_text.done": {"output_index": "integer", "text": "string"},
    "response.completed": {"response": "object"},
    "response.incomplete": {"response": "object"},
    "response.failed": {"response": "object"},
}
"""The upstream's events that a search is documented or seen to have, and what to rely on in them.
Others are relayed as well."""

# Two views of a stream. OpenAPI 3.2's `itemSchema` describes an event as it stands on the wire:
# its `data` is text, which `contentSchema` describes. Generators for typed clients read `schema`
# only, and hand out that text parsed; so `schema` lists the data of each event, and nothing of
# its frame: upstream events are told apart by a `const` in `type`, ours, which have no `type`, by
# what they must hold. No entry takes events of any name: `type: string` beside the constants
# would keep TypeScript from telling them apart.

STREAM = {
    "schema": {"$ref": "#/components/schemas/StreamData"},
    "itemSchema": {"$ref": "#/components/schemas/StreamEvent"},
}
RELAYED_STREAM = {
    "schema": {"$ref": "#/components/schemas/RelayedData"},
    "itemSchema": {"$ref": "#/components/schemas/RelayedEvent"},
}
"""The same on `/v1`, where the upstream's events come alone and without ids."""


def stream_schemas() -> dict[str, Any]:
    """Describe what those refer to: titled by the event's name, or told apart by `event`."""
    data = [{"title": name} | _data_of(name) for name in OWN_EVENTS]
    relayed = [_relayed(name) for name in RELAYED]
    framed = [_framed({"const": name}, _data_of(name), "id") for name in OWN_EVENTS]
    return {
        "StreamData": {"oneOf": [*data, *relayed]},
        "StreamEvent": {"oneOf": [*framed, _any_relayed("id")]},
        "RelayedData": {"oneOf": relayed},
        "RelayedEvent": _any_relayed(),
    }


def _data_of(name: str) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{OWN_EVENTS[name].__name__}"}
    if name not in ENDED_AS:
        return {"allOf": [reference]}
    status = {"type": "string", "enum": ENDED_AS[name]}
    return {"allOf": [reference, {"type": "object", "properties": {"status": status}}]}


def _relayed(name: str) -> dict[str, Any]:
    members = {member: {"type": kind} for member, kind in RELAYED[name].items()}
    return {
        "title": name,
        "type": "object",
        "required": ["type", *members],
        "properties": {"type": {"type": "string", "const": name}} | members,
    }


def _any_relayed(*more: str) -> dict[str, Any]:
    data = {
        "type": "object",
        "description": "An event of the Responses API, relayed as it came.",
        "required": ["type"],
        "properties": {"type": {"type": "string"}},
    }
    return _framed({"pattern": r"^response\."}, data, *more)


def _framed(event: dict[str, str], data: dict[str, Any], *more: str) -> dict[str, Any]:
    return {
        "type": "object",
        "title": event.get("const", "response.*"),
        "required": [*more, "event", "data"],
        "properties": {
            **{name: {"type": "string"} for name in more},
            "event": {"type": "string"} | event,
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": data,
            },
        },
    }
