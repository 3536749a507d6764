"""One answer as DashScope sends it, and the pieces it is made of."""

import json
from typing import Any

from app.models import Event


def data(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def event(name: str, **members: Any) -> Event:
    return Event(name, data({"type": name, **members}))


def block(one: Event, number: int = 1) -> bytes:
    """As DashScope frames it: no space behind the colon, a status comment in every event."""
    head = f"id:{number}\nevent:{one.type}\n:HTTP_STATUS/200\ndata:".encode()
    return head + one.data + b"\n\n"


def call(
    found: object, *, name: str = "msg_call", image: int = 0, box: object = (0, 0, 1000, 1000)
) -> dict[str, Any]:
    return {
        "id": name,
        "type": "image_search_call",
        "status": "completed",
        "name": "image_search",
        "arguments": json.dumps({"img_idx": image, "bbox": box}),
        "output": json.dumps(found, ensure_ascii=False),
    }


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
USAGE = {
    "input_tokens": 2753,
    "output_tokens": 181,
    "total_tokens": 2934,
    "x_tools": {"image_search": {"count": 1}},
}
CREATED = event(
    "response.created", sequence_number=0, response={"id": "resp_1", "model": "", "output": []}
)
ADDED = event("response.output_item.added", item={"id": "msg_call", "type": "image_search_call"})
DONE = event("response.output_item.done", item=call(FOUND), output_index=1)
COMPLETED = event(
    "response.completed",
    response={
        "id": "resp_1",
        "model": "qwen3.7-plus",
        "status": "completed",
        "output": [call(FOUND), MESSAGE],
        "usage": USAGE,
    },
)
FAILED = event(
    "response.failed",
    response={
        "id": "resp_1",
        "status": "failed",
        "error": {"code": "InvalidParameter", "message": "Unsupported model: 'x'"},
    },
)
THROTTLED = event(
    "response.failed",
    response={
        "status": "failed",
        "error": {
            "code": "server_error",
            "message": "Operation model request rate limit exceeded, please try again later.",
        },
    },
)


def delta(text: str, item: str = "msg_text") -> Event:
    return event("response.output_text.delta", delta=text, item_id=item)


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
