"""What the bench's upstream answers: how many deltas, how fast, and their bytes. No I/O.

Framed as DashScope frames: no space behind the colons, a status comment inside every event, each
event a chunk of its own.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

RESPONSE_ID = "resp_5d1f0c0e-7f0b-4b51-9d0a-6c1d3a1f9b27"
MESSAGE_ID = "msg_0f7c2f0a-3f63-4f0e-8d39-0d6f0a6b6d11"
CALL_ID = "msg_77b1a3de-2c14-4a39-b0f6-3f1f5f0f8a02"
MODEL = "qwen3.7-plus"
FOUND = 5
"""Pictures in the one call of the tool."""

AHEAD, BEHIND = 6, 4
"""Events before the deltas and after them."""

END = b"0\r\n\r\n"
USAGE = {
    "input_tokens": 2753,
    "output_tokens": 181,
    "total_tokens": 2934,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
    "x_tools": {"image_search": {"count": 1}},
}


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of answer.

    `interval_s` is the time between two deltas of a stream, 0 for all at once. With `held` the
    deltas wait until they are released, so that all streams of a run are open before the first.
    """

    deltas: int
    interval_s: float = 0
    held: bool = False

    @property
    def events(self) -> int:
        """Events of one answer."""
        return AHEAD + self.deltas + BEHIND

    @property
    def text(self) -> str:
        """What the deltas add up to; every one is different, so a lost one shows."""
        return "".join(map(token, range(self.deltas)))

    def as_json(self) -> bytes:
        """The body of the request that sets it."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Read it from such a body."""
        return cls(**json.loads(body))


def token(number: int) -> str:
    """The text of a delta; of the length that a token or two have."""
    return f"w{number:05d} "


@dataclass(frozen=True, slots=True)
class Wire:
    """An answer's bytes in HTTP chunks: `opening`, one of `deltas` at a time, `closing`.

    `whole` is the answer, without chunks, to a request that asked for no stream.
    """

    opening: bytes
    deltas: tuple[bytes, ...]
    closing: bytes
    whole: bytes


def encode(shape: Shape) -> Wire:
    """All bytes of a shape, made once so that sending is all that is left to do."""
    frames = [b"%x\r\n%b\r\n" % (len(block), block) for block in blocks(shape)]
    first, last = AHEAD, AHEAD + shape.deltas
    return Wire(
        opening=b"".join(frames[:first]),
        deltas=tuple(frames[first:last]),
        closing=b"".join(frames[last:]) + END,
        whole=_json(_response("completed", shape)),
    )


def blocks(shape: Shape) -> list[bytes]:
    """The events of a shape, one block of lines each."""
    bodies = [*_opening(), *_deltas(shape.deltas), *_closing(shape)]
    return [_block(number, body) for number, body in enumerate(bodies)]


def _block(number: int, body: dict[str, Any]) -> bytes:
    data = _json({"sequence_number": number} | body)
    head = f"id:{number + 1}\nevent:{body['type']}\n:HTTP_STATUS/200\ndata:"
    return head.encode() + data + b"\n\n"


def _opening() -> list[dict[str, Any]]:
    created = {"type": "response.created", "response": _response("queued", None)}
    begun = {"type": "response.in_progress", "response": _response("in_progress", None)}
    return [created, begun, *_call(), *_message_begun()]


def _call() -> list[dict[str, Any]]:
    item = _call_item()
    asked = {name: value for name, value in item.items() if name != "output"}
    place = {"output_index": 0}
    return [
        {"type": "response.output_item.added", "item": asked | {"status": "in_progress"}} | place,
        {"type": "response.output_item.done", "item": item} | place,
    ]


def _call_item() -> dict[str, Any]:
    found = [
        {"title": f"Mountains in ink {n}", "url": f"https://pictures.example/{n}.jpg", "index": n}
        for n in range(1, FOUND + 1)
    ]
    return {
        "id": CALL_ID,
        "type": "image_search_call",
        "status": "completed",
        "name": "image_search",
        "arguments": '{"img_idx": 0, "bbox": [0, 0, 1000, 1000]}',
        "output": json.dumps(found),
    }


def _message_begun() -> list[dict[str, Any]]:
    item = _message("", "in_progress") | {"content": []}
    return [
        {"type": "response.output_item.added", "item": item, "output_index": 1},
        {"type": "response.content_part.added", "part": _part("")} | _place(),
    ]


def _deltas(count: int) -> list[dict[str, Any]]:
    return [
        {"type": "response.output_text.delta", "delta": token(n), "logprobs": []} | _place()
        for n in range(count)
    ]


def _closing(shape: Shape) -> list[dict[str, Any]]:
    text = shape.text
    message = _message(text, "completed")
    return [
        {"type": "response.output_text.done", "text": text, "logprobs": []} | _place(),
        {"type": "response.content_part.done", "part": _part(text)} | _place(),
        {"type": "response.output_item.done", "item": message, "output_index": 1},
        {"type": "response.completed", "response": _response("completed", shape)},
    ]


def _response(status: str, shape: Shape | None) -> dict[str, Any]:
    response: dict[str, Any] = {
        "id": RESPONSE_ID,
        "object": "response",
        "created_at": 1_790_000_000,
        "status": status,
        "model": "",
        "output": [],
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
    }
    if shape:
        output = [_call_item(), _message(shape.text, "completed")]
        response |= {"model": MODEL, "output": output, "usage": USAGE}
    return response


def _message(text: str, status: str) -> dict[str, Any]:
    kind = {"id": MESSAGE_ID, "type": "message", "role": "assistant"}
    return kind | {"status": status, "content": [_part(text)]}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": None}


def _place() -> dict[str, Any]:
    return {"content_index": 0, "item_id": MESSAGE_ID, "output_index": 1}


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
