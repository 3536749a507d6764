"""One answer as DashScope sends it, and the pieces it is made of."""

import json
from typing import Any, NamedTuple

Json = dict[str, Any]


class Event(NamedTuple):
    """An event of the upstream: its name and its data."""

    type: str
    data: bytes


def data(value: Json) -> bytes:
    """JSON as it stands on the wire; half a character stands there by its number."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace")


def event(name: str, **members: Any) -> Event:
    return Event(name, data({"type": name, **members}))


def block(one: Event, number: int = 1) -> bytes:
    """As DashScope frames it: no space behind the colon, a status comment in every event."""
    head = f"id:{number}\nevent:{one.type}\n:HTTP_STATUS/200\ndata:".encode()
    return head + one.data + b"\n\n"


def call(
    found: object, *, name: str = "msg_call", image: int = 0, box: object = (0, 0, 1000, 1000)
) -> Json:
    """An `image_search_call` that has found something."""
    return {
        "id": name,
        "type": "image_search_call",
        "status": "completed",
        "name": "image_search",
        "arguments": json.dumps({"img_idx": image, "bbox": box}),
        "output": json.dumps(found, ensure_ascii=False),
    }


def usage(input_tokens: int, output_tokens: int, calls: int | None = None) -> Json:
    told: Json = {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    }
    return told if calls is None else told | {"x_tools": {"image_search": {"count": calls}}}


FOUND = [
    {"title": "水墨山背景", "url": "https://pictures.example/ink.jpg", "index": 1},
    {"title": "Mountains", "url": "https://pictures.example/hills.png?w=1", "index": 2},
]
MESSAGE = {
    "id": "msg_text",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "两幅山水画。", "annotations": []}],
}
USAGE = usage(2_753, 181, 1)


def completed(*output: Json, **members: Any) -> Event:
    response = {
        "id": "resp_1",
        "model": "qwen3.7-plus",
        "status": "completed",
        "output": output or [call(FOUND), MESSAGE],
        "usage": USAGE,
    }
    return event("response.completed", response=response | members)


def failed(code: str, message: str) -> Json:
    """A response that failed, as it comes in a body or in the last event."""
    error = {"code": code, "message": message}
    return {"id": "resp_1", "object": "response", "status": "failed", "error": error}


def delta(text: str, item: str = "msg_text") -> Event:
    return event("response.output_text.delta", delta=text, item_id=item)


CREATED = event(
    "response.created", sequence_number=0, response={"id": "resp_1", "model": "", "output": []}
)
ADDED = event("response.output_item.added", item={"id": "msg_call", "type": "image_search_call"})
DONE = event("response.output_item.done", item=call(FOUND), output_index=1)
COMPLETED = completed()
FAILED = event("response.failed", response=failed("InvalidParameter", "Unsupported model: 'x'"))
BUSY = "Operation model request rate limit exceeded, please try again later."
THROTTLED = event("response.failed", response=failed("server_error", BUSY))
EVENTS = [
    CREATED,
    event("response.in_progress", response={"id": "resp_1", "status": "in_progress"}),
    event("response.output_item.added", item={"id": "msg_r", "type": "reasoning", "summary": []}),
    event("response.reasoning_text.delta", delta="看看图", item_id="msg_r"),
    event("response.output_item.done", item={"id": "msg_r", "type": "reasoning", "summary": []}),
    ADDED,
    DONE,
    event("response.output_item.added", item={"id": "msg_text", "type": "message", "content": []}),
    delta("两幅"),
    delta("山水画。"),
    event("response.output_item.done", item=MESSAGE),
    COMPLETED,
]
WIRE = b"".join(block(one, number) for number, one in enumerate(EVENTS, start=1))
