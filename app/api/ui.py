"""`/ui/chat`: the last message of a chat is a search, as the AI SDK's `useChat` asks for it.

A search's log is sent as the SDK's UI message stream, version 1. The SDK gives up at a chunk of a
type that it does not know, and at a piece of a part that was not begun; a stream that is cut
without `finish`, `abort` or `error` counts as complete.
"""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import Field, InstanceOf
from starlette.responses import Response

from app.api import bodies
from app.api.dependencies import Admitted, ByUrl, Call, IdempotencyKey
from app.api.openapi import FRAME, IDENTIFIED, UPLOADED, UPSTREAM, answer, body, refusals
from app.api.schemas import SearchRequest
from app.api.search import STARTED_HEADERS, open_search
from app.api.sse import EventStream
from app.models import Event, json_bytes
from app.runs.run import Reader
from app.settings import ANONYMOUS
from app.upstream.answer import CALL, ITEM_DONE, TEXT_DELTA
from app.upstream.lenient import Json, as_list, as_object, as_text, parse_object

GUESSABLE_CHARS = 16  # Browsers make the ids of chats; a shorter one could be guessed.
HISTORY_MAX_MEMBERS = 50_000  # A chat is sent whole, and each result stands in it three times.

PARTS = {  # The part of a message that an event's text belongs to.
    TEXT_DELTA: "text",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "reasoning",
}
METADATA = ("usage", "cost", "outcome", "warnings", "upstream_response_id")
"""Members of the result that a message keeps; the last one makes follow-up questions possible."""
BY_PROVIDER: Json = {"providerExecuted": True, "dynamic": True}

CHUNK: Json = {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}
STREAM_ANSWERS = answer(
    *STARTED_HEADERS,
    description="The AI SDK's UI message stream, version 1.",
    content={"text/event-stream": {"schema": CHUNK, "itemSchema": FRAME}},
)
SENT = STREAM_ANSWERS | refusals(*UPLOADED, *UPSTREAM)
ENDED = answer(status=204, description="Nothing goes on, or its end was read.")
RESUMED = STREAM_ANSWERS | ENDED | refusals(*IDENTIFIED)
ChatId = Annotated[str, Path(max_length=128, description="Id of the chat.")]

router = APIRouter(prefix="/ui", tags=["ui"])


class ChatRequest(SearchRequest):
    """What `useChat` sends: the last message of the user is the search.

    Members of `SearchRequest` may stand beside it, as the transport's `body` adds them.
    """

    id: Annotated[str, Field(min_length=1, max_length=128, description="Id of the chat.")]
    messages: list[InstanceOf[Json]] = Field(fail_fast=True)
    """All messages of the chat."""
    trigger: Literal["submit-message", "regenerate-message"] = Field(
        default="submit-message", description="`regenerate-message`: ask again."
    )
    message_id: str | None = Field(default=None, alias="messageId", description="Not looked at.")

    def as_search(self) -> SearchRequest:
        """The search; without a picture it follows up the chat's last answer."""
        roles = [as_text(message.get("role")) for message in self.messages]
        asked = max((number for number, role in enumerate(roles) if role == "user"), default=0)
        asking = self.messages[asked] if self.messages else {}
        parts = [as_object(part) for part in as_list(asking.get("parts"))]
        urls = [as_text(part.get("url")) for part in parts if part.get("type") == "file"]
        texts = [as_text(part.get("text")) for part in parts if part.get("type") == "text"]
        changes: dict[str, Any] = {"prompt": "\n".join(texts) or self.prompt}
        if urls:
            changes["image_url"] = [*self.image_url, *urls]
        elif not self.image_url and not self.previous_response_id:
            latest_first = reversed(self.messages[:asked])
            metadata = (as_object(message.get("metadata")) for message in latest_first)
            ids = (one.get("upstream_response_id") for one in metadata)
            changes["previous_response_id"] = next(filter(None, ids), None)
        # A later message is never answered by an earlier search, whose id is its answer's.
        if self.trigger == "regenerate-message" or "assistant" in roles:
            changes["fresh"] = True
        known = self.model_dump(include=set(SearchRequest.model_fields))
        return bodies.validated(SearchRequest, known | changes)


@router.post(
    "/chat", response_class=EventStream, openapi_extra=body(json=ChatRequest), responses=SENT
)
async def send_chat_message(call: Admitted, key: IdempotencyKey = None) -> Response:
    """Search with the last message of a chat, and follow the answer as a UI message stream."""
    with call.hold_memory() as memory:
        sent = await bodies.read_json(call, memory, max_members=HISTORY_MAX_MEMBERS)
        chat = bodies.validated(ChatRequest, sent)
        reader = await open_search(call, key, chat.as_search(), [], memory=memory)
    place = f"chat:{call.client.name}:{chat.id}"
    if call.client.name != ANONYMOUS or len(chat.id) >= GUESSABLE_CHARS:
        call.service.runs.name(reader.run.id, place)
    return _stream(call, reader, place, commit_s=call.service.settings.stream_commit_s)


@router.get("/chat/{chat_id}/stream", response_class=EventStream, responses=RESUMED)
async def resume_chat(call: ByUrl, chat_id: ChatId) -> Response:
    """Follow the latest search of a chat from its beginning, until somebody has had its end."""
    place = f"chat:{call.client.name}:{chat_id}"
    call.request.state.run = run = await call.service.runs.find_named(call.client, place)
    if run is None:
        return Response(status_code=204)
    call.service.metrics.resumes.labels(run.source).inc()
    return _stream(call, run.read(resumable=True), place)


def _stream(
    call: Call, reader: Reader, place: str, *, commit_s: float | None = None
) -> EventStream:
    encode, unname = UiMessageStream().encode, partial(call.service.runs.unname, reader.run, place)
    stream = EventStream(call, reader, encode=encode, commit_s=commit_s, on_end=unname)
    stream.headers["X-Vercel-AI-UI-Message-Stream"] = "v1"
    return stream


class UiMessageStream:
    """The state of one stream; feed it the events in their order."""

    def __init__(self) -> None:
        self._open_parts: dict[str, str] = {}
        self._call: str | None = None  # The latest call of the tool that an event was about.

    def encode(self, event: Event, _: int) -> list[bytes]:
        """The frames of an event; none for most of the upstream's."""
        data = parse_object(event.data) or {}
        frames = [b"data: %b\n\n" % json_bytes(chunk) for chunk in self._chunks(event.type, data)]
        last = event.type in ("search.completed", "search.failed", "search.cancelled")
        return [*frames, b"data: [DONE]\n\n"] if last else frames

    def _chunks(self, event_type: str, data: Json) -> Iterator[Json]:
        if part := PARTS.get(event_type):
            part_id = f"{part}-{as_text(data.get('item_id'))}"
            if part_id not in self._open_parts:
                self._open_parts[part_id] = part
                yield {"type": f"{part}-start", "id": part_id}
            yield {"type": f"{part}-delta", "id": part_id, "delta": as_text(data.get("delta"))}
        match event_type:
            case "search.created":
                metadata = {"model": data["model"]}
                yield {"type": "start", "messageId": data["search_id"], "messageMetadata": metadata}
                yield {"type": "start-step"}
            case "search.progress":
                progress = {name: data[name] for name in ("phase", "elapsed_s")}
                yield {"type": "data-progress", "data": progress, "transient": True}
            case "response.output_item.added" | "response.output_item.done":
                yield from self._item(as_object(data.get("item")), ended=event_type == ITEM_DONE)
            case "search.results":
                yield from self._results(data)
            case "search.completed":
                yield from self._ends(*self._open_parts)
                reason = "stop" if data["status"] == "completed" else "length"
                metadata = {name: data[name] for name in METADATA}
                yield {"type": "finish-step"}
                yield {"type": "finish", "finishReason": reason, "messageMetadata": metadata}
            case "search.failed":
                yield {"type": "error", "errorText": json_bytes(data["error"]).decode()}
            case "search.cancelled":
                yield {"type": "abort", "reason": "The search was cancelled."}

    def _ends(self, *part_ids: str) -> Iterator[Json]:
        for part_id in part_ids:
            if part := self._open_parts.pop(part_id, None):
                yield {"type": f"{part}-end", "id": part_id}

    def _item(self, item: Json, *, ended: bool) -> Iterator[Json]:
        item_id = as_text(item.get("id"))
        if item.get("type") != CALL:
            yield from self._ends(*(f"{part}-{item_id}" for part in set(PARTS.values()) if ended))
        elif item_id != self._call:
            self._call = item_id
            called = {"toolCallId": item_id, "toolName": "image_search", "input": {}}
            yield {"type": "tool-input-available", **called, **BY_PROVIDER}

    def _results(self, data: Json) -> Iterator[Json]:
        """They follow the end of their call."""
        call_id = self._call
        output = {name: data[name] for name in ("image", "bbox", "results")}
        found = {"toolCallId": call_id, "output": output}
        yield {"type": "tool-output-available", **found, **BY_PROVIDER}
        yield {"type": "data-results", "id": call_id, "data": output}
        for match in data["results"]:
            source = {"url": match["url"], "title": match["title"]}
            yield {"type": "source-url", "sourceId": f"{call_id}-{match['index']}", **source}
